/* Function Versions: uploaded once, never changed. */
#include "core/api/resource.h"
#include "core/config.h"
#include "core/content/upload.h"
#include "handlers/routes.h"

static const sf_property properties[] = {
    { "sid", SF_JSON_SID, "ZN" },
    { "account_sid", SF_JSON_SID, "AC" },
    { "service_sid", SF_JSON_SID, "ZS" },
    { "function_sid", SF_JSON_SID, "ZH" },
    { "path", SF_JSON_TEXT, NULL },
    { "visibility", SF_JSON_TEXT, NULL },
    { "date_created", SF_JSON_DATE, NULL },
    { "url", SF_JSON_URL, NULL },
    { "function_version_content", SF_JSON_LINK, "/Content" },
    { .name = NULL },
};

static const sf_upload_kind upload = {
    .prepare = SF_STATEMENT_VERSION_PREPARE,
    .limit = sf_config_function_limit,
    .is_text = 1,
};

const sf_resource sf_function_versions = {
    .key = "function_versions",
    .pattern = "/Services/{ZS}/Functions/{ZH}/Versions/{ZN}",
    .kind = "function",
    .properties = properties,
    .create = { SF_STATEMENT_VERSION_CREATE, NULL },
    .fetch = { SF_STATEMENT_VERSION_FETCH, NULL },
    .list = { SF_STATEMENT_VERSION_LIST, NULL },
    .upload = &upload,
};

/* The source code as a JSON string; therefore it must be UTF-8. */
static const sf_property content_properties[] = {
    { "sid", SF_JSON_SID, "ZN" },
    { "account_sid", SF_JSON_SID, "AC" },
    { "service_sid", SF_JSON_SID, "ZS" },
    { "function_sid", SF_JSON_SID, "ZH" },
    { "content", SF_JSON_TEXT, NULL },
    { "url", SF_JSON_URL, NULL },
    { .name = NULL },
};

const sf_resource sf_function_version_content = {
    .pattern = "/Services/{ZS}/Functions/{ZH}/Versions/{ZN}/Content",
    .kind = "function",
    .properties = content_properties,
    .no_store = 1,
    .fetch = { SF_STATEMENT_VERSION_CONTENT, NULL },
};
