/* Environments: each has a domain name, Variables, and the Build that is deployed on it. */
#include "core/api/resource.h"
#include "handlers/routes.h"

static const sf_property properties[] = {
    { "sid", SF_JSON_SID, "ZE" },
    { "account_sid", SF_JSON_SID, "AC" },
    { "service_sid", SF_JSON_SID, "ZS" },
    { "build_sid", SF_JSON_SID, "ZB" },
    { "unique_name", SF_JSON_TEXT, NULL },
    { "domain_suffix", SF_JSON_TEXT, NULL },
    { "domain_name", SF_JSON_HOST, NULL },
    { "date_created", SF_JSON_DATE, NULL },
    { "date_updated", SF_JSON_DATE, NULL },
    { "url", SF_JSON_URL, NULL },
    { "variables", SF_JSON_LINK, "/Variables" },
    { "deployments", SF_JSON_LINK, "/Deployments" },
    { "logs", SF_JSON_LINK, "/Logs" },
    { .name = NULL },
};

static const sf_outcome outcomes[] = {
    { .name = "conflict",
      .status = HTTP_CONFLICT,
      .message = "Environment with this UniqueName or DomainSuffix already exists." },
    { .name = NULL },
};

static const sf_param create_params[] = {
    { .name = "UniqueName", .kind = SF_PARAM_TEXT, .maximum = 100, .required = 1 },
    { .name = "DomainSuffix", .kind = SF_PARAM_LABEL, .maximum = 16 },
    { .name = NULL },
};

const sf_resource sf_environments = {
    .key = "environments",
    .pattern = "/Services/{ZS}/Environments/{ZE}",
    .properties = properties,
    .outcomes = outcomes,
    .create = { SF_STATEMENT_ENVIRONMENT_CREATE, create_params },
    .fetch = { SF_STATEMENT_ENVIRONMENT_FETCH, NULL },
    .list = { SF_STATEMENT_ENVIRONMENT_LIST, NULL },
    .remove = { SF_STATEMENT_ENVIRONMENT_DELETE, NULL },
    .route_changes = SF_ON_REMOVE,
};
