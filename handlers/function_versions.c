/* Function Versions: uploaded once, never changed. */
#include "core/config.h"
#include "core/resource.h"
#include "core/upload.h"
#include "handlers/routes.h"

static const sf_property properties[] = {
    { "sid", SF_AS_SID, "ZN" },
    { "account_sid", SF_AS_SID, "AC" },
    { "service_sid", SF_AS_SID, "ZS" },
    { "function_sid", SF_AS_SID, "ZH" },
    { "path", SF_AS_TEXT, NULL },
    { "visibility", SF_AS_TEXT, NULL },
    { "date_created", SF_AS_DATE, NULL },
    { "url", SF_AS_URL, NULL },
    { "function_version_content", SF_AS_LINK, "/Content" },
    { .name = NULL },
};

static const sf_resource function_versions = {
    .key = "function_versions",
    .pattern = "/Services/{ZS}/Functions/{ZH}/Versions/{ZN}",
    .properties = properties,
};

/* The column behind those of the resource: whether the content is new to the Service. */
#define FRESH 8

/* The source as a JSON string, which is why it must be UTF-8. */
static const sf_property content_properties[] = {
    { "sid", SF_AS_SID, "ZN" },
    { "account_sid", SF_AS_SID, "AC" },
    { "service_sid", SF_AS_SID, "ZS" },
    { "function_sid", SF_AS_SID, "ZH" },
    { "content", SF_AS_TEXT, NULL },
    { "url", SF_AS_URL, NULL },
    { .name = NULL },
};

static const sf_resource content = {
    .pattern = "/Services/{ZS}/Functions/{ZH}/Versions/{ZN}/Content",
    .properties = content_properties,
};

const sf_error *sf_function_version_create(sf_request *request)
{
    const sf_upload_kind kind = {
        .resource = &function_versions,
        .prepare = SF_STATEMENT_FUNCTION_VERSION_PREPARE,
        .create = SF_STATEMENT_FUNCTION_VERSION_CREATE,
        .fresh_column = FRESH,
        .limit = sf_function_limit(),
        .is_text = 1,
    };

    return sf_upload(request, &kind);
}

const sf_error *sf_function_version_fetch(sf_request *request)
{
    return sf_resource_fetch(request, &function_versions, SF_STATEMENT_FUNCTION_VERSION_FETCH);
}

const sf_error *sf_function_version_content(sf_request *request)
{
    return sf_resource_fetch(request, &content, SF_STATEMENT_FUNCTION_VERSION_CONTENT);
}

const sf_error *sf_function_version_list(sf_request *request)
{
    return sf_resource_list(request, &function_versions, SF_STATEMENT_FUNCTION_VERSION_LIST);
}
