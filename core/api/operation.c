#include "core/api/operation.h"

#include "core/api/resource.h"
#include "core/auth/ownership_cache.h"
#include "core/clock.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>


/* Scopes ----------------------------------------------------------------------------------------- */

const sf_scope sf_scope_none = { .count = 0 };

static void add_to_scope(sf_scope *scope, const char *value)
{
    scope->values[scope->count++] = value;
}

static sf_scope scope_of_sids(const sf_request *request)
{
    sf_scope scope = sf_scope_none;
    int i;

    if (request->sids > 0) {
        add_to_scope(&scope, request->unique_name ? NULL : request->sid[0]);
        add_to_scope(&scope, request->unique_name);
    }
    for (i = 1; i < request->sids; i++) {
        add_to_scope(&scope, request->sid[i]);
    }
    return scope;
}

static void add_kind(sf_scope *scope, const sf_request *request)
{
    if (request->resource->kind) {
        add_to_scope(scope, request->resource->kind);
    }
}

sf_scope sf_scope_of_path(const sf_request *request)
{
    sf_scope scope = scope_of_sids(request);

    add_kind(&scope, request);
    return scope;
}

sf_scope sf_scope_of_member(const sf_request *request, const char *uuid)
{
    sf_scope scope = scope_of_sids(request);
    char sid[SF_SID_LENGTH + 1];

    sf_sid_write(sid, "  ", uuid);
    add_to_scope(&scope, apr_pstrdup(request->r->pool, sid + SF_SID_PREFIX));
    add_kind(&scope, request);
    return scope;
}


/* Outcomes --------------------------------------------------------------------------------------- */

/* The details that the statement returned with an outcome, or NULL. */
static const char *details_of(const sf_request *request, sf_rows *rows, const sf_outcome *outcome)
{
    switch (outcome->details) {
    case SF_DETAILS_ALONE:
        return sf_rows_value(rows, 0, 0 + 1);
    case SF_DETAILS_AFTER_RESOURCE:
        return sf_rows_value(rows, 0, sf_resource_columns(request->resource));
    default:
        return NULL;
    }
}

static const sf_error *error_of_outcome(const sf_request *request, sf_rows *rows,
                                        const sf_outcome *outcomes)
{
    apr_pool_t *pool = request->r->pool;
    const char *outcome = sf_rows_value(rows, 0, 0);

    if (!outcome) {
        return sf_error_of_status(pool, HTTP_INTERNAL_SERVER_ERROR);
    }
    if (strcmp(outcome, "ok") == 0) {
        return NULL;
    }
    if (strcmp(outcome, "unauthenticated") == 0) {
        return sf_error_of_status(pool, HTTP_UNAUTHORIZED);
    }
    if (strcmp(outcome, "not_found") == 0) {
        return sf_error_not_found(pool, sf_request_path(request));
    }
    if (strcmp(outcome, "precondition_failed") == 0) {
        return sf_error_of_status(pool, HTTP_PRECONDITION_FAILED);
    }
    for (; outcomes && outcomes->name; outcomes++) {
        if (strcmp(outcome, outcomes->name) == 0) {
            return sf_error_with_details(
                sf_error_make(pool, outcomes->status, "%s", outcomes->message), pool,
                details_of(request, rows, outcomes));
        }
    }
    return sf_error_of_status(pool, HTTP_INTERNAL_SERVER_ERROR);
}

/* Remembers how long the answer has to wait. A client without a valid credential learns nothing, and
 * does not wait. */
static void keep_route_wait(sf_request *request, const sf_operation *operation, sf_rows *rows)
{
    const char *outcome = sf_rows_value(rows, 0, 0);
    const char *wait
        = operation->has_route_wait ? sf_rows_value(rows, 0, sf_rows_columns(rows) - 1) : NULL;

    if (wait && outcome && strcmp(outcome, "unauthenticated") != 0
        && atoi(wait) > request->route_wait) {
        request->route_wait = atoi(wait);
    }
}

/* Sleeps 1 % and a millisecond longer than the lease, because no two machines' clocks run alike. */
void sf_operation_wait_for_routes(sf_request *request)
{
    const apr_interval_time_t wait = apr_time_from_msec(request->route_wait);

    request->route_wait = 0;
    if (wait > 0) {
        sf_clock_sleep(wait + wait / 100 + apr_time_from_msec(1));
    }
}

/* Checks a statement's result. A 404 of the database, for a parent that vanished meanwhile, gets
 * the request's path into its message. */
static const sf_error *check_result(sf_request *request, const sf_operation *operation,
                                    const sf_error *error, sf_rows *rows)
{
    if (error && error->status == HTTP_NOT_FOUND) {
        return sf_error_not_found(request->r->pool, sf_request_path(request));
    }
    if (error) {
        return error;
    }
    request->credential_checked = 1;
    keep_route_wait(request, operation, rows);
    return error_of_outcome(request, rows, operation->outcomes);
}


/* Statements ------------------------------------------------------------------------------------- */

/* Writes all parameters of the operation's statement to `all`. */
static void bind_parameters(const sf_request *request, const sf_operation *operation,
                            const char **all)
{
    const sf_scope *scope = &operation->scope;

    *all++ = request->credential;
    *all++ = request->generation;
    memcpy(all, scope->values, (apr_size_t)scope->count * sizeof(*all));
    if (operation->count > 0) {
        memcpy(all + scope->count, operation->values, (apr_size_t)operation->count * sizeof(*all));
    }
}

/* Returns the operation's statement, in its variant for how the path names the Service. */
static sf_statement_id statement_of(const sf_request *request, const sf_operation *operation)
{
    const sf_statement_id id = operation->statement;

    return request->unique_name ? sf_statement_by_name[id] : id;
}

/* Whether the statement found something, and the credential had lost no right since the cache learned
 * that its account owns the Service. */
static int is_owned_result_valid(const sf_ownership *owned, sf_rows *rows)
{
    return rows && sf_rows_count(rows) > 0
           && strcmp(sf_rows_credentials_epoch(rows), owned->credentials_epoch) == 0;
}

/* Inserts the columns that NAME has and NAME_owned leaves out: the outcome, the account's id and, unless
 * the resource is the Service itself, the Service's id. */
static void insert_scope_columns(const sf_request *request, const sf_ownership *owned,
                                 sf_rows *rows)
{
    const sf_resource *resource = request->resource;
    const int service = sf_resource_column(resource, "ZS");

    sf_rows_insert_column(rows, 0, "ok");
    sf_rows_insert_column(rows, SF_COLUMN_ACCOUNT, apr_pstrdup(request->r->pool, owned->account));
    if (service != SF_COLUMN_SID) {
        sf_rows_insert_column(rows, service, request->sid[0]);
    }
}

/* Runs NAME_owned, if the statement has that form and the cache knows which account owns the Service.
 * Returns NULL and rows as NAME has them; NULL and no rows where NAME has to be run, because it may have
 * another outcome than "ok"; or an error. `all` are the parameters of NAME, the first four those of the
 * scope. */
static const sf_error *run_owned(sf_request *request, sf_statement_id id, const char *const *all,
                                 sf_rows **rows)
{
    const sf_caller caller = sf_caller_of(request->r);
    const sf_statement_id owned_id = sf_statement_owned[id];
    const char *values[SF_STATEMENT_MAX_PARAMETERS];
    char account[SF_SID_LENGTH + 1];
    const sf_error *error;
    sf_ownership owned;

    *rows = NULL;
    if (owned_id == id || !sf_ownership_cache_find(request, &owned)) {
        return NULL;
    }
    sf_sid_write(account, "AC", owned.account);
    values[0] = account + SF_SID_PREFIX; /* without hyphens, a uuid is sent in binary */
    values[1] = request->sid[0];
    memcpy(values + 2, all + 4,
           (apr_size_t)(sf_statements[owned_id].parameters - 2) * sizeof(*values));
    error = sf_db_run_batched(&caller, owned_id, values, rows);
    if (!is_owned_result_valid(&owned, *rows)) {
        *rows = NULL;
        return error;
    }
    insert_scope_columns(request, &owned, *rows);
    return NULL;
}

/* Has the cache keep which account owns the Service, if the rows came with the credentials epoch that tells
 * whether this still holds. */
static void keep_ownership(const sf_request *request, sf_rows *rows)
{
    const char *account = sf_rows_value(rows, 0, SF_COLUMN_ACCOUNT);
    const char *epoch = sf_rows_credentials_epoch(rows);
    sf_ownership ownership;

    if (account && *epoch) {
        apr_cpystrn(ownership.account, account, sizeof(ownership.account));
        apr_cpystrn(ownership.credentials_epoch, epoch, sizeof(ownership.credentials_epoch));
        sf_ownership_cache_keep(request, &ownership);
    }
}

const sf_error *sf_operation_run(sf_request *request, const sf_operation *operation, sf_rows **rows)
{
    const sf_caller caller = sf_caller_of(request->r);
    const sf_statement_id id = statement_of(request, operation);
    const char *all[SF_STATEMENT_MAX_PARAMETERS + 1];
    const sf_error *error;

    bind_parameters(request, operation, all);
    error = run_owned(request, id, all, rows);
    if (error || *rows) {
        return check_result(request, operation, error, *rows);
    }
    error = sf_db_run(&caller, id, all, rows);
    error = check_result(request, operation, error, *rows);
    sf_operation_wait_for_routes(request);
    SF_TRY(error);
    if (sf_statement_owned[id] != id) {
        keep_ownership(request, *rows);
    }
    return NULL;
}

const sf_error *sf_operation_step(sf_request *request, sf_transaction *transaction,
                                  const sf_operation *operation, sf_rows **rows)
{
    const char *all[SF_STATEMENT_MAX_PARAMETERS + 1];
    const sf_error *error;

    bind_parameters(request, operation, all);
    error = sf_db_step(transaction, statement_of(request, operation), all, rows);
    return check_result(request, operation, error, *rows);
}

const sf_error *sf_operation_check_credential(sf_request *request)
{
    const sf_operation check
        = { .statement = SF_STATEMENT_CREDENTIAL_CHECK, .scope = sf_scope_none };
    sf_rows *rows;

    return request->credential_checked ? NULL : sf_operation_run(request, &check, &rows);
}
