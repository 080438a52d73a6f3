/* Deployments: each puts a Build on an Environment, or removes the Environment's Build. */
#include "core/api/operation.h"
#include "core/api/verbs.h"
#include "core/config.h"
#include "handlers/routes.h"
#include "runtime/domains/leases.h"

#include <apr_strings.h>

/* The columns of deployment_target. */
enum {
    TARGET_OUTCOME,
    TARGET_ACCOUNT,
    TARGET_SERVICE,
    TARGET_ENVIRONMENT,
    TARGET_BUILD,
    TARGET_RUNTIME
};

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


/* Create ----------------------------------------------------------------------------------------- */

static void copy_uuid(char to[SF_UUID_LENGTH + 1], sf_rows *rows, int column)
{
    apr_cpystrn(to, sf_rows_value(rows, 0, column), SF_UUID_LENGTH + 1);
}

/* Has the first isolate of the Build started. */
static void start_isolate(const sf_request *request, sf_rows *rows)
{
    const sf_build_file file = { .runtime = sf_rows_value(rows, 0, TARGET_RUNTIME) };
    sf_domain_request target = { .r = request->r, .file = &file };

    copy_uuid(target.route.account, rows, TARGET_ACCOUNT);
    copy_uuid(target.route.service, rows, TARGET_SERVICE);
    copy_uuid(target.route.environment, rows, TARGET_ENVIRONMENT);
    copy_uuid(target.route.build, rows, TARGET_BUILD);
    sf_leases_warm(&target);
}

/* Has an isolate of the Build ready before calls switch to it. Where the Build cannot be deployed, the statement that
 * deploys it finds that. */
static void prepare(sf_request *request, const char *const *values)
{
    const sf_operation find = { .statement = SF_STATEMENT_DEPLOYMENT_TARGET,
                                .scope = sf_scope_of_path(request),
                                .count = 1,
                                .values = values };
    const sf_error *error;
    sf_rows *rows;

    if (!values[0] || !sf_config_runner()) {
        return;
    }
    error = sf_operation_run(request, &find, &rows);
    if (!error && sf_rows_value(rows, 0, TARGET_BUILD)) {
        start_isolate(request, rows);
    }
    request->credential_checked = 0; /* since then, it may have lost its right */
}

const sf_error *sf_deployment_create(sf_request *request)
{
    const char *values[SF_PARAMS_MAX];

    SF_TRY(sf_params_read(request, create_params, values));
    prepare(request, values);
    return sf_verb_create_from(request, sf_params_count(create_params), values);
}
