/* Deployments: each puts a Build on an Environment, or takes the one there away. */
#include "core/api/resource.h"
#include "handlers/routes.h"

static const sf_property properties[] = {
    { "sid", SF_JSON_SID, "ZD" },
    { "account_sid", SF_JSON_SID, "AC" },
    { "service_sid", SF_JSON_SID, "ZS" },
    { "environment_sid", SF_JSON_SID, "ZE" },
    { "build_sid", SF_JSON_SID, "ZB" },
    { "date_created", SF_JSON_DATE, NULL },
    { "date_updated", SF_JSON_DATE, NULL },
    { "url", SF_JSON_URL, NULL },
    { .name = NULL },
};

/* The column behind those of the resource. */
#define DETAILS 8

static const sf_outcome outcomes[] = {
    { "unknown_build", HTTP_BAD_REQUEST, "BuildSid is not a Build in this Service.", .details = 0 },
    { "not_completed", HTTP_BAD_REQUEST, "Only a completed Build can be deployed.", .details = 0 },
    { "incomplete", HTTP_BAD_REQUEST,
      "Cannot deploy Build because some of its Versions have been deleted.", .details = DETAILS },
    { "unchanged", HTTP_CONFLICT, "Environment already has requested deployment", .details = 0 },
    { .name = NULL },
};

static const sf_param create_params[] = {
    { "BuildSid", SF_PARAM_SID, .prefix = "ZB" }, /* without it, nothing is deployed any more */
    { .name = NULL },
};

const sf_resource sf_deployments = {
    .key = "deployments",
    .pattern = "/Services/{ZS}/Environments/{ZE}/Deployments/{ZD}",
    .properties = properties,
    .outcomes = outcomes,
    .create = { SF_STATEMENT_DEPLOYMENT_CREATE, create_params },
    .fetch = { SF_STATEMENT_DEPLOYMENT_FETCH, NULL },
    .list = { SF_STATEMENT_DEPLOYMENT_LIST, NULL },
};
