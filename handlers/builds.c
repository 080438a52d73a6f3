/* Builds: sets of Versions that are deployed together. worker/build_worker.c completes them. */
#include "core/api/idempotency.h"
#include "core/api/operation.h"
#include "core/api/resource.h"
#include "core/api/verbs.h"
#include "core/config.h"
#include "core/json.h"
#include "core/json_text.h"
#include "handlers/routes.h"
#include "runtime/protocol/runner_runtimes.h"
#include "worker/build_worker.h"
#include "worker/dependency_check.h"
#include "worker/dependency_request.h"

#include <apr_strings.h>
#include <string.h>

static const sf_property properties[] = {
    { "sid", SF_JSON_SID, "ZB" },
    { "account_sid", SF_JSON_SID, "AC" },
    { "service_sid", SF_JSON_SID, "ZS" },
    { "status", SF_JSON_TEXT, NULL },
    { "asset_versions", SF_JSON_RAW, NULL },
    { "function_versions", SF_JSON_RAW, NULL },
    { "dependencies", SF_JSON_RAW, NULL },
    { "runtime", SF_JSON_TEXT, NULL },
    { "failure_reason", SF_JSON_TEXT, NULL },
    { "date_created", SF_JSON_DATE, NULL },
    { "date_updated", SF_JSON_DATE, NULL },
    { "url", SF_JSON_URL, NULL },
    { "build_status", SF_JSON_LINK, "/Status" },
    { .name = NULL },
};

static const sf_outcome outcomes[] = {
    { .name = "unknown_function",
      .status = HTTP_BAD_REQUEST,
      .message = "Some FunctionVersions are not Versions of Functions in this Service." },
    { .name = "unknown_asset",
      .status = HTTP_BAD_REQUEST,
      .message = "Some AssetVersions are not Versions of Assets in this Service." },
    { .name = "same_path",
      .status = HTTP_BAD_REQUEST,
      .message = "Two Versions in a Build must not have the same Path." },
    { .name = "too_many_public",
      .status = HTTP_BAD_REQUEST,
      .message = "AssetVersions has more public Assets than a Build may have." },
    { .name = "too_many_protected",
      .status = HTTP_BAD_REQUEST,
      .message = "AssetVersions has more protected Assets than a Build may have." },
    { .name = "too_many_private",
      .status = HTTP_BAD_REQUEST,
      .message = "AssetVersions has more private Assets than a Build may have." },
    { .name = "active",
      .status = HTTP_CONFLICT,
      .message = "Cannot delete Build because it's part of an active Deployment.",
      .details = SF_DETAILS_ALONE },
    { .name = NULL },
};

/* The Versions of each kind in a Build, and the Builds of a page. */
#define VERSIONS_MAX 1000
#define PAGE_MAX 50

const sf_resource sf_builds = {
    .key = "builds",
    .pattern = "/Services/{ZS}/Builds/{ZB}",
    .properties = properties,
    .outcomes = outcomes,
    .page_maximum = PAGE_MAX,
    .has_large_rows = 1, /* a Build's JSON lists all its Versions */
    .create = { SF_STATEMENT_BUILD_CREATE, NULL },
    .fetch = { SF_STATEMENT_BUILD_FETCH, NULL },
    .list = { SF_STATEMENT_BUILD_LIST, NULL },
    .remove = { SF_STATEMENT_BUILD_DELETE, NULL },
};

static const sf_property status_properties[] = {
    { "sid", SF_JSON_SID, "ZB" }, /* of the Build */
    { "account_sid", SF_JSON_SID, "AC" },
    { "service_sid", SF_JSON_SID, "ZS" },
    { "status", SF_JSON_TEXT, NULL },
    { "url", SF_JSON_URL, NULL },
    { .name = NULL },
};

const sf_resource sf_build_status = {
    .pattern = "/Services/{ZS}/Builds/{ZB}/Status",
    .properties = status_properties,
    .fetch = { SF_STATEMENT_BUILD_STATUS, NULL },
};


/* Dependencies ----------------------------------------------------------------------------------- */

/* Adds an object's name and version to the list; a missing version becomes "*", any version.
 * Returns 0 if `from` is not such an object. */
static int add_dependency(json_object *list, json_object *from)
{
    json_object *name = NULL;
    json_object *version = NULL;
    json_object *dependency;
    const char *text;

    if (!json_object_is_type(from, json_type_object)
        || !json_object_object_get_ex(from, "name", &name)
        || !json_object_is_type(name, json_type_string) || json_object_get_string_len(name) == 0) {
        return 0;
    }
    if (json_object_object_get_ex(from, "version", &version)
        && !json_object_is_type(version, json_type_string)) {
        return 0;
    }
    text = version && json_object_get_string_len(version) > 0 ? json_object_get_string(version)
                                                              : "*";
    dependency = json_object_new_object();
    sf_json_add(dependency, "name", json_object_get(name));
    sf_json_add(dependency, "version", json_object_new_string(text));
    json_object_array_add(list, dependency);
    return 1;
}

/* Returns the array of dependencies as JSON for the database, or NULL if the text is not such an
 * array. */
static const char *parse_dependencies(apr_pool_t *pool, const char *text)
{
    /* json-c alone takes more than JSON, also in its strict mode. */
    json_object *parsed = sf_json_is_valid(text) ? json_tokener_parse(text) : NULL;
    json_object *list = json_object_new_array();
    const char *kept = NULL;

    if (json_object_is_type(parsed, json_type_array)) {
        const size_t count = json_object_array_length(parsed);
        size_t i = 0;

        while (i < count && add_dependency(list, json_object_array_get_idx(parsed, i))) {
            i++;
        }
        kept = i == count ? apr_pstrdup(pool, sf_json_text(list, NULL)) : NULL;
    }
    json_object_put(list);
    json_object_put(parsed);
    return kept;
}

/* Reads Dependencies; without them there are none. Twilio's toolkit puts the array into one more
 * pair of quotes, without escaping the quotes inside. Returns as parse_dependencies(). */
static const char *read_dependencies(apr_pool_t *pool, const char *text)
{
    const size_t length = text ? strlen(text) : 0;

    if (!text) {
        return "[]";
    }
    if (length >= 2 && text[0] == '"' && text[length - 1] == '"') {
        text = apr_pstrmemdup(pool, text + 1, length - 2);
    }
    return parse_dependencies(pool, text);
}


/* Whether the Service has the packages of an earlier Build with the same Runtime and Dependencies. Returns NULL, or an error
 * of sf_operation_run(). */
static const sf_error *find_bundle(sf_request *request, const char *hash, int *is_there)
{
    const sf_operation operation = { .statement = SF_STATEMENT_BUNDLE_FIND,
                                     .scope = sf_scope_of_path(request),
                                     .count = 1,
                                     .values = &hash };
    sf_rows *rows;

    SF_TRY(sf_operation_run(request, &operation, &rows));
    *is_there = *sf_rows_value(rows, 0, 1) == 't';
    return NULL;
}

/* Checks Dependencies that the Service has not resolved before, as far as the registry answers in time. A create with an
 * Idempotency-Key is not checked: its answer to a repetition must not depend on a registry. Returns NULL, 400, or an error of
 * find_bundle(). */
static const sf_error *check_dependencies(sf_request *request, const char *runtime,
                                          const char *dependencies)
{
    const sf_caller caller = sf_caller_of(request->r);
    json_object *versions = sf_dependency_versions(caller.pool, dependencies);
    char hash[SF_SHA256_HEX + 1];
    int is_there = 0;
    const char *reason;

    if (json_object_object_length(versions) == 0 || !sf_config_runner()
        || !sf_config_dependency_check() || sf_idempotency_is_wanted(request)
        || !sf_dependency_hash(caller.pool, runtime, versions, hash)) {
        return NULL;
    }
    SF_TRY(find_bundle(request, hash, &is_there));
    reason = is_there ? NULL : sf_dependency_check(&caller, runtime, versions);
    return reason ? sf_error_bad_request(caller.pool, "Dependencies: %s", reason) : NULL;
}


/* Creating -------------------------------------------------------------------------------------- */

/* Returns whether a list of names has a name. NULL, the list of a runner that does not answer, has every name. */
static int has_name(const apr_array_header_t *names, const char *name)
{
    int i;

    for (i = 0; names && i < names->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(names, i, const char *), name) == 0) {
            return 1;
        }
    }
    return names == NULL;
}

/* Returns the Runtimes that a Build may have: those of ServerlessRuntimes, of which the machine's runner offers
 * each. */
static apr_array_header_t *offered_runtimes(const sf_request *request)
{
    apr_pool_t *pool = request->r->pool;
    const char *runner = sf_config_runner();
    const apr_array_header_t *executed = runner ? sf_runner_runtimes(pool, runner) : NULL;
    apr_array_header_t *offered = apr_array_make(pool, 8, sizeof(const char *));
    int count;
    const char *const *allowed = sf_config_runtimes(request->r, &count);
    int i;

    for (i = 0; i < count; i++) {
        if (has_name(executed, allowed[i])) {
            APR_ARRAY_PUSH(offered, const char *) = allowed[i];
        }
    }
    return offered;
}

/* Replaces the Runtime that the client wants, or NULL, by the one that the Build gets: the last one is the default.
 * Returns NULL, or 400 with the Runtimes that a Build may have. */
static const sf_error *choose_runtime(const sf_request *request, const char **runtime)
{
    apr_pool_t *pool = request->r->pool;
    const apr_array_header_t *offered = offered_runtimes(request);

    if (!*runtime && offered->nelts > 0) {
        *runtime = APR_ARRAY_IDX(offered, offered->nelts - 1, const char *);
    }
    if (*runtime && has_name(offered, *runtime)) {
        return NULL;
    }
    return sf_error_bad_request(pool, "Runtime is not one that this server offers (%s)",
                                apr_array_pstrcat(pool, offered, ' '));
}

/* The parameters of create, and the values of its statement: the same, and the limits of Assets. */
enum {
    FUNCTION_VERSIONS,
    ASSET_VERSIONS,
    RUNTIME,
    DEPENDENCIES,
    CREATE_PARAMS,
    MAX_PUBLIC = CREATE_PARAMS,
    MAX_PROTECTED,
    MAX_PRIVATE,
    CREATE_VALUES
};

static const sf_param create_params[] = {
    [FUNCTION_VERSIONS] = { .name = "FunctionVersions",
                            .kind = SF_PARAM_SIDS,
                            .prefix = "ZN",
                            .maximum = VERSIONS_MAX },
    [ASSET_VERSIONS]
    = { .name = "AssetVersions", .kind = SF_PARAM_SIDS, .prefix = "ZN", .maximum = VERSIONS_MAX },
    [RUNTIME] = { .name = "Runtime", .kind = SF_PARAM_TEXT, .maximum = 64 },
    [DEPENDENCIES] = { .name = "Dependencies", .kind = SF_PARAM_TEXT, .maximum = 32000 },
    [CREATE_PARAMS] = { .name = NULL },
};

/* Replaces the parameters by the values that the statement takes. Returns NULL or 400. */
static const sf_error *check_params(const sf_request *request, const char **values)
{
    apr_pool_t *pool = request->r->pool;

    if (!values[FUNCTION_VERSIONS] && !values[ASSET_VERSIONS]) {
        return sf_error_bad_request(
            pool, "At least one Function Version or Asset Version is required for Build.");
    }
    SF_TRY(choose_runtime(request, &values[RUNTIME]));
    values[DEPENDENCIES] = read_dependencies(pool, values[DEPENDENCIES]);
    if (!values[DEPENDENCIES]) {
        return sf_error_bad_request(
            pool, "Dependencies must be a JSON array of objects with name and version");
    }
    return NULL;
}

/* Returns the limit as the statement takes it: NULL for none. */
static const char *limit_text(apr_pool_t *pool, int limit)
{
    return limit > 0 ? apr_itoa(pool, limit) : NULL;
}

const sf_error *sf_build_create(sf_request *request)
{
    apr_pool_t *pool = request->r->pool;
    const char *values[CREATE_VALUES];

    SF_TRY(sf_params_read(request, create_params, values));
    SF_TRY(check_params(request, values));
    SF_TRY(check_dependencies(request, values[RUNTIME], values[DEPENDENCIES]));
    values[MAX_PUBLIC] = limit_text(pool, sf_config_max_public_assets());
    values[MAX_PROTECTED] = limit_text(pool, sf_config_max_protected_assets());
    values[MAX_PRIVATE] = limit_text(pool, sf_config_max_private_assets());
    SF_TRY(sf_verb_create_repeatable(request, CREATE_VALUES, values, CREATE_PARAMS, values));
    sf_build_worker_wake();
    return NULL;
}
