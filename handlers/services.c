/* Services: the containers of everything else. */
#include "core/resource.h"
#include "handlers/routes.h"

static const sf_property properties[] = {
    { "sid", SF_AS_SID, "ZS" },
    { "account_sid", SF_AS_SID, "AC" },
    { "friendly_name", SF_AS_TEXT, NULL },
    { "unique_name", SF_AS_TEXT, NULL },
    { "include_credentials", SF_AS_FLAG, NULL },
    { "ui_editable", SF_AS_FLAG, NULL },
    { "domain_base", SF_AS_TEXT, NULL },
    { "date_created", SF_AS_DATE, NULL },
    { "date_updated", SF_AS_DATE, NULL },
    { "url", SF_AS_URL, NULL },
    { "environments", SF_AS_LINK, "/Environments" },
    { "functions", SF_AS_LINK, "/Functions" },
    { "assets", SF_AS_LINK, "/Assets" },
    { "builds", SF_AS_LINK, "/Builds" },
    { .name = NULL },
};

static const sf_outcome outcomes[] = {
    { "conflict", HTTP_CONFLICT, "Service with this UniqueName already exists.", .details = 0 },
    { .name = NULL },
};

static const sf_resource services = {
    .key = "services",
    .pattern = "/Services/{ZS}",
    .properties = properties,
    .outcomes = outcomes,
};

const sf_error *sf_service_create(sf_request *request)
{
    static const sf_param params[] = {
        { "UniqueName", SF_UNIQUE_NAME, .maximum = 50, .required = 1 },
        { "FriendlyName", SF_TEXT, .maximum = 255, .required = 1 },
        { .name = "IncludeCredentials",
          .kind = SF_FLAG },                       /* true where absent: the statement's business */
        { .name = "UiEditable", .kind = SF_FLAG }, /* false where absent */
        { .name = NULL },
    };

    return sf_resource_create(request, &services, SF_STATEMENT_SERVICE_CREATE, params);
}

const sf_error *sf_service_fetch(sf_request *request)
{
    return sf_resource_fetch(request, &services, SF_STATEMENT_SERVICE_FETCH);
}

const sf_error *sf_service_list(sf_request *request)
{
    return sf_resource_list(request, &services, SF_STATEMENT_SERVICE_LIST);
}

const sf_error *sf_service_update(sf_request *request)
{
    static const sf_param params[] = {
        { "FriendlyName", SF_TEXT, .maximum = 255 },
        { .name = "IncludeCredentials", .kind = SF_FLAG },
        { .name = "UiEditable", .kind = SF_FLAG },
        { .name = NULL },
    };

    return sf_resource_update(request, &services, SF_STATEMENT_SERVICE_UPDATE, params);
}

const sf_error *sf_service_delete(sf_request *request)
{
    return sf_resource_delete(request, &services, SF_STATEMENT_SERVICE_DELETE);
}
