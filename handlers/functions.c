/* Functions. */
#include "core/resource.h"
#include "handlers/routes.h"

static const sf_property properties[] = {
    { "sid", SF_AS_SID, "ZH" },
    { "account_sid", SF_AS_SID, "AC" },
    { "service_sid", SF_AS_SID, "ZS" },
    { "friendly_name", SF_AS_TEXT, NULL },
    { "date_created", SF_AS_DATE, NULL },
    { "date_updated", SF_AS_DATE, NULL },
    { "url", SF_AS_URL, NULL },
    { "function_versions", SF_AS_LINK, "/Versions" },
    { .name = NULL },
};

static const sf_outcome outcomes[] = {
    { "active", HTTP_CONFLICT, "Cannot delete Function because it's part of an active Build.",
      .details = 1 },
    { .name = NULL },
};

static const sf_resource functions = {
    .key = "functions",
    .pattern = "/Services/{ZS}/Functions/{ZH}",
    .properties = properties,
    .outcomes = outcomes,
};

/* What create and update take. */
static const sf_param params[] = {
    { "FriendlyName", SF_TEXT, .maximum = 255, .required = 1 },
    { .name = NULL },
};

const sf_error *sf_function_create(sf_request *request)
{
    return sf_resource_create(request, &functions, SF_STATEMENT_FUNCTION_CREATE, params);
}

const sf_error *sf_function_fetch(sf_request *request)
{
    return sf_resource_fetch(request, &functions, SF_STATEMENT_FUNCTION_FETCH);
}

const sf_error *sf_function_list(sf_request *request)
{
    return sf_resource_list(request, &functions, SF_STATEMENT_FUNCTION_LIST);
}

const sf_error *sf_function_update(sf_request *request)
{
    return sf_resource_update(request, &functions, SF_STATEMENT_FUNCTION_UPDATE, params);
}

const sf_error *sf_function_delete(sf_request *request)
{
    return sf_resource_delete(request, &functions, SF_STATEMENT_FUNCTION_DELETE);
}
