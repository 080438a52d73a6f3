/* Services: the containers of everything else. */
#include "core/api/resource.h"
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

static const sf_param create_params[] = {
    { "UniqueName", SF_UNIQUE_NAME, .maximum = 50, .required = 1 },
    { "FriendlyName", SF_TEXT, .maximum = 255, .required = 1 },
    { .name = "IncludeCredentials",
      .kind = SF_FLAG },                       /* true where absent: the statement's business */
    { .name = "UiEditable", .kind = SF_FLAG }, /* false where absent */
    { .name = NULL },
};

static const sf_param update_params[] = {
    { "FriendlyName", SF_TEXT, .maximum = 255 },
    { .name = "IncludeCredentials", .kind = SF_FLAG },
    { .name = "UiEditable", .kind = SF_FLAG },
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
};
