/* Logs: the messages of running Functions. serverless.add_log() in the database adds them. */
#include "core/api/resource.h"
#include "handlers/routes.h"

static const sf_property properties[] = {
    { "sid", SF_JSON_SID, "NO" },
    { "account_sid", SF_JSON_SID, "AC" },
    { "service_sid", SF_JSON_SID, "ZS" },
    { "environment_sid", SF_JSON_SID, "ZE" },
    { "build_sid", SF_JSON_SID, "ZB" },
    { "deployment_sid", SF_JSON_SID, "ZD" },
    { "function_sid", SF_JSON_SID, "ZH" },
    { "request_sid", SF_JSON_SID, "RQ" },
    { "level", SF_JSON_TEXT, NULL },
    { "message", SF_JSON_TEXT, NULL },
    { "date_created", SF_JSON_DATE, NULL },
    { "url", SF_JSON_URL, NULL },
    { .name = NULL },
};

static const sf_param filters[] = {
    /* The statement makes these one day ago and now, if they are absent. */
    { .name = "StartDate", .kind = SF_PARAM_DATE, .echoed = 1 },
    { .name = "EndDate", .kind = SF_PARAM_DATE, .echoed = 1 },
    { .name = "FunctionSid", .kind = SF_PARAM_SID, .prefix = "ZH" },
    { .name = NULL },
};

const sf_resource sf_logs = {
    .key = "logs",
    .no_store = 1,
    .pattern = "/Services/{ZS}/Environments/{ZE}/Logs/{NO}",
    .properties = properties,
    .has_large_rows = 1,
    .fetch = { SF_STATEMENT_LOG_FETCH, NULL },
    .list = { SF_STATEMENT_LOG_LIST, filters },
};
