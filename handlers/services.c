/* Services: each contains Environments, Functions, Assets and Builds. */
#include "core/api/resource.h"
#include "handlers/routes.h"

static const sf_property properties[] = {
    { "sid", SF_JSON_SID, "ZS" },
    { "account_sid", SF_JSON_SID, "AC" },
    { "friendly_name", SF_JSON_TEXT, NULL },
    { "unique_name", SF_JSON_TEXT, NULL },
    { "include_credentials", SF_JSON_FLAG, NULL },
    { "ui_editable", SF_JSON_FLAG, NULL },
    { "domain_base", SF_JSON_TEXT, NULL },
    { "date_created", SF_JSON_DATE, NULL },
    { "date_updated", SF_JSON_DATE, NULL },
    { "url", SF_JSON_URL, NULL },
    { "environments", SF_JSON_LINK, "/Environments" },
    { "functions", SF_JSON_LINK, "/Functions" },
    { "assets", SF_JSON_LINK, "/Assets" },
    { "builds", SF_JSON_LINK, "/Builds" },
    { .name = NULL },
};

static const sf_outcome outcomes[] = {
    { .name = "conflict",
      .status = HTTP_CONFLICT,
      .message = "Service with this UniqueName already exists." },
    { .name = NULL },
};

static const sf_param create_params[] = {
    { .name = "UniqueName", .kind = SF_PARAM_UNIQUE_NAME, .maximum = 50, .required = 1 },
    { .name = "FriendlyName", .kind = SF_PARAM_TEXT, .maximum = 255, .required = 1 },
    /* The statement makes these true and false, if they are absent. */
    { .name = "IncludeCredentials", .kind = SF_PARAM_FLAG },
    { .name = "UiEditable", .kind = SF_PARAM_FLAG },
    { .name = NULL },
};

static const sf_param update_params[] = {
    { .name = "FriendlyName", .kind = SF_PARAM_TEXT, .maximum = 255 },
    { .name = "IncludeCredentials", .kind = SF_PARAM_FLAG },
    { .name = "UiEditable", .kind = SF_PARAM_FLAG },
    { .name = NULL },
};

const sf_resource sf_services = {
    .key = "services",
    .pattern = "/Services/{ZS}",
    .properties = properties,
    .outcomes = outcomes,
    .create = { SF_STATEMENT_SERVICE_CREATE, create_params },
    .fetch = { SF_STATEMENT_SERVICE_FETCH, NULL },
    .list = { SF_STATEMENT_SERVICE_LIST, NULL },
    .update = { SF_STATEMENT_SERVICE_UPDATE, update_params },
    .remove = { SF_STATEMENT_SERVICE_DELETE, NULL },
    /* the wait of an update is 0 unless it is of IncludeCredentials */
    .route_changes = SF_ON_UPDATE | SF_ON_REMOVE,
};
