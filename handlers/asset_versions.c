/* Asset Versions: uploaded once, never changed. */
#include "core/api/resource.h"
#include "core/config.h"
#include "core/content/upload.h"
#include "handlers/routes.h"

static const sf_property properties[] = {
    { "sid", SF_JSON_SID, "ZN" },
    { "account_sid", SF_JSON_SID, "AC" },
    { "service_sid", SF_JSON_SID, "ZS" },
    { "asset_sid", SF_JSON_SID, "ZH" },
    { "path", SF_JSON_TEXT, NULL },
    { "visibility", SF_JSON_TEXT, NULL },
    { "date_created", SF_JSON_DATE, NULL },
    { "url", SF_JSON_URL, NULL },
    { .name = NULL },
};

static const sf_upload_kind upload = {
    .prepare = SF_STATEMENT_VERSION_PREPARE,
    .limit = sf_config_asset_limit,
    .is_text = 0,
};

const sf_resource sf_asset_versions = {
    .key = "asset_versions",
    .pattern = "/Services/{ZS}/Assets/{ZH}/Versions/{ZN}",
    .kind = "asset",
    .properties = properties,
    .create = { SF_STATEMENT_VERSION_CREATE, NULL },
    .fetch = { SF_STATEMENT_VERSION_FETCH, NULL },
    .list = { SF_STATEMENT_VERSION_LIST, NULL },
    .upload = &upload,
};

/* The content as bytes, which Twilio's API does not have: see sf_content_send(). */
const sf_resource sf_asset_version_content = {
    .pattern = "/Services/{ZS}/Assets/{ZH}/Versions/{ZN}/Content",
    .kind = "asset",
    .has_ranges = 1,
    .fetch = { SF_STATEMENT_VERSION_CONTENT_HEAD, NULL },
};
