/* Deployments: each puts a Build on an Environment, or removes the Environment's Build. */
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

static const sf_outcome outcomes[] = {
    { .name = "unknown_build",
      .status = HTTP_BAD_REQUEST,
      .message = "BuildSid is not a Build in this Service." },
    { .name = "not_completed",
      .status = HTTP_BAD_REQUEST,
      .message = "Only a completed Build can be deployed." },
    { .name = "incomplete",
      .status = HTTP_BAD_REQUEST,
      .message = "Cannot deploy Build because some of its Versions have been deleted.",
      .details = SF_DETAILS_AFTER_RESOURCE },
    { .name = "unchanged",
      .status = HTTP_CONFLICT,
      .message = "Environment already has requested deployment" },
    { .name = NULL },
};

static const sf_param create_params[] = {
    /* Without it, the Environment's Build is removed. */
    { .name = "BuildSid", .kind = SF_PARAM_SID, .prefix = "ZB" },
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
    .route_changes = SF_ON_CREATE,
};
