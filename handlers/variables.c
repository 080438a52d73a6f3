/* Variables: what Functions find in their Environment. Values are stored encrypted. */
#include "core/api/operation.h"
#include "core/api/resource.h"
#include "core/api/verbs.h"
#include "core/crypto/secret.h"
#include "core/http/conditional.h"
#include "handlers/routes.h"

static const sf_property properties[] = {
    { "sid", SF_JSON_SID, "ZV" },           { "account_sid", SF_JSON_SID, "AC" },
    { "service_sid", SF_JSON_SID, "ZS" },   { "environment_sid", SF_JSON_SID, "ZE" },
    { "key", SF_JSON_TEXT, NULL },          { "value", SF_JSON_SECRET, NULL },
    { "date_created", SF_JSON_DATE, NULL }, { "date_updated", SF_JSON_DATE, NULL },
    { "url", SF_JSON_URL, NULL },           { .name = NULL },
};

static const sf_outcome outcomes[] = {
    { .name = "conflict",
      .status = HTTP_CONFLICT,
      .message = "Variable with this Key already exists." },
    { .name = NULL },
};

static const sf_param create_params[] = {
    { .name = "Key", .kind = SF_PARAM_TEXT, .maximum = 128, .required = 1 },
    { .name = "Value", .kind = SF_PARAM_BYTES, .maximum = SF_SECRET_MAX, .required = 1 },
    { .name = NULL },
};

static const sf_param update_params[] = {
    { .name = "Key", .kind = SF_PARAM_TEXT, .maximum = 128 },
    { .name = "Value", .kind = SF_PARAM_BYTES, .maximum = SF_SECRET_MAX },
    { .name = NULL },
};

const sf_resource sf_variables = {
    .key = "variables",
    .pattern = "/Services/{ZS}/Environments/{ZE}/Variables/{ZV}",
    .properties = properties,
    .outcomes = outcomes,
    .create = { SF_STATEMENT_VARIABLE_CREATE, create_params },
    .fetch = { SF_STATEMENT_VARIABLE_FETCH, NULL },
    .list = { SF_STATEMENT_VARIABLE_LIST, NULL },
    .update = { SF_STATEMENT_VARIABLE_UPDATE, update_params },
    .remove = { SF_STATEMENT_VARIABLE_DELETE, NULL },
};

/* What the database gets of a value. */
static const sf_error *seal(const sf_request *request, const char *environment,
                            const char *variable, const char *value, const char **sealed)
{
    const sf_caller caller = sf_caller_of(request->r);
    char context[SF_SECRET_CONTEXT];

    sf_secret_context(context, environment, variable);
    return sf_secret_seal(&caller, context, value, sealed);
}

/* A value is bound to its Variable, so that its SID is made before. */
const sf_error *sf_variable_create(sf_request *request)
{
    const sf_caller caller = sf_caller_of(request->r);
    const char *given[2];
    const char *values[3];
    const sf_error *error = sf_params_read(request, create_params, given);
    sf_rows *identity;

    error = error ? error
                  : sf_operation_run(request, SF_STATEMENT_VARIABLE_PREPARE, 0, NULL, NULL,
                                     &identity);
    if (!error) {
        values[0] = sf_rows_value(identity, 0, 1);
        values[1] = given[0];
        error = seal(request, sf_rows_value(identity, 0, 2), values[0], given[1], &values[2]);
    }
    error = error ? error : sf_secret_fingerprint(&caller, given[1], &given[1]);
    return error ? error : sf_resource_create_known(request, 3, values, 2, given);
}

const sf_error *sf_variable_update(sf_request *request)
{
    const sf_caller caller = sf_caller_of(request->r);
    const char *values[3] = { sf_conditional_expected(request) };
    const sf_error *error = sf_params_read(request, update_params, values + 1);

    error = error ? error : sf_secret_available(&caller); /* the answer shows the value, too */
    if (!error && values[2]) {
        error = seal(request, request->sid[1], request->sid[2], values[2], &values[2]);
    }
    return error ? error : sf_resource_update_from(request, 3, values);
}
