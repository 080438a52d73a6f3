/* Variables: the environment variables of Functions. Their values are stored encrypted. */
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
    .no_store = 1,
    .pattern = "/Services/{ZS}/Environments/{ZE}/Variables/{ZV}",
    .properties = properties,
    .outcomes = outcomes,
    .has_large_rows = 1,
    .create = { SF_STATEMENT_VARIABLE_CREATE, create_params },
    .fetch = { SF_STATEMENT_VARIABLE_FETCH, NULL },
    .list = { SF_STATEMENT_VARIABLE_LIST, NULL },
    .update = { SF_STATEMENT_VARIABLE_UPDATE, update_params },
    .remove = { SF_STATEMENT_VARIABLE_DELETE, NULL },
    .route_changes = SF_ON_CREATE | SF_ON_UPDATE | SF_ON_REMOVE,
};

/* The SIDs of a Variable's path, and the columns of variable_prepare. */
enum { PATH_SERVICE, PATH_ENVIRONMENT, PATH_VARIABLE };
enum { PREPARED_OUTCOME, PREPARED_VARIABLE, PREPARED_ENVIRONMENT };

/* Encrypts a value for the database, bound to its Variable. Returns NULL or the error of
 * sf_secret_seal(). */
static const sf_error *seal(const sf_request *request, const char *environment,
                            const char *variable, const char *value, const char **sealed)
{
    const sf_caller caller = sf_caller_of(request->r);
    char context[SF_SECRET_CONTEXT];

    sf_secret_context(context, environment, variable);
    return sf_secret_seal(&caller, context, value, sealed);
}

/* Makes the Variable's SID before its row, because the encrypted value is bound to that SID. A
 * value is encrypted differently each time, so a repeated request is recognized by the value's
 * fingerprint. */
const sf_error *sf_variable_create(sf_request *request)
{
    const sf_caller caller = sf_caller_of(request->r);
    const sf_operation prepare
        = { .statement = SF_STATEMENT_VARIABLE_PREPARE, .scope = sf_scope_of_path(request) };
    enum { KEY, VALUE, PARAMS };
    enum { NEW_SID, NEW_KEY, NEW_VALUE, COLUMNS };
    const char *given[PARAMS];
    const char *values[COLUMNS];
    const char *environment;
    sf_rows *prepared;

    SF_TRY(sf_params_read(request, create_params, given));
    SF_TRY(sf_operation_run(request, &prepare, &prepared));
    values[NEW_SID] = sf_rows_value(prepared, 0, PREPARED_VARIABLE);
    environment = sf_rows_value(prepared, 0, PREPARED_ENVIRONMENT);
    values[NEW_KEY] = given[KEY];
    SF_TRY(seal(request, environment, values[NEW_SID], given[VALUE], &values[NEW_VALUE]));
    SF_TRY(sf_secret_fingerprint(&caller, given[VALUE], &given[VALUE]));
    return sf_verb_create_repeatable(request, COLUMNS, values, PARAMS, given);
}

const sf_error *sf_variable_update(sf_request *request)
{
    const sf_caller caller = sf_caller_of(request->r);
    enum { IF_MATCH, KEY, VALUE, VALUES };
    const char *values[VALUES] = { sf_conditional_expected(request) };

    SF_TRY(sf_params_read(request, update_params, values + KEY));
    /* The answer has the value, also if the request does not change it. */
    SF_TRY(sf_secret_available(&caller));
    if (values[VALUE]) {
        SF_TRY(seal(request, request->sid[PATH_ENVIRONMENT], request->sid[PATH_VARIABLE],
                    values[VALUE], &values[VALUE]));
    }
    return sf_verb_update_from(request, VALUES, values);
}
