#include "core/api/operation.h"

#include "core/api/resource.h"
#include "core/auth/ownership_cache.h"

#include <apr_strings.h>
#include <string.h>

static int path_parameters(const sf_request *request, const char **to)
{
    int count = 0;
    int i;

    for (i = 0; i < request->sids; i++) {
        const int by_name = i == 0 && request->unique_name;

        to[count++] = by_name ? NULL : request->sid[i];
        if (i == 0) {
            to[count++] = request->unique_name;
        }
    }
    return count;
}

/* The details that the statement returned with an outcome, or NULL. */
static const char *details_of(const sf_request *request, sf_rows *rows, const sf_outcome *outcome)
{
    switch (outcome->details) {
    case SF_DETAILS_ALONE:
        return sf_rows_value(rows, 0, SF_COLUMN(0));
    case SF_DETAILS_AFTER_RESOURCE:
        return sf_rows_value(rows, 0, sf_resource_columns(request->resource));
    default:
        return NULL;
    }
}

static const sf_error *error_of(const sf_request *request, sf_rows *rows,
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

/* All of a statement's parameters: the request's own, then the operation's. */
static void parameters(const sf_request *request, int count, const char *const *values,
                       const char **all)
{
    int used = 2;
    int i;

    all[0] = request->credential;
    all[1] = request->generation;
    used += path_parameters(request, all + used);
    if (request->resource && request->resource->kind) {
        all[used++] = request->resource->kind;
    }
    for (i = 0; i < count; i++) {
        all[used++] = values[i];
    }
}

/* The statement for how the Service is named. */
static sf_statement_id variant(const sf_request *request, sf_statement_id id)
{
    return request->unique_name ? sf_statement_by_name[id] : id;
}

static const sf_error *conclude(sf_request *request, const sf_error *error, sf_rows *rows,
                                const sf_outcome *outcomes)
{
    if (error) {
        return error->status == HTTP_NOT_FOUND
                   ? sf_error_not_found(request->r->pool, sf_request_path(request))
                   : error;
    }
    request->credential_checked = 1;
    return error_of(request, rows, outcomes);
}

/* Whether the rows are those of something that is there, read while all was as it is remembered. */
static int are_found(const sf_ownership *known, sf_rows *rows)
{
    return rows && sf_rows_count(rows) > 0
           && strcmp(sf_rows_credentials_tag(rows), known->credentials_tag) == 0;
}

/* Puts in the columns that sf_statement_known leaves out. */
static void add_known(const sf_request *request, const sf_ownership *known, sf_rows *rows)
{
    const sf_resource *resource = request->resource;
    const int service = sf_resource_column(resource, "ZS");

    sf_rows_know(rows, 0, "ok");
    sf_rows_know(rows, sf_resource_column(resource, "AC"),
                 apr_pstrdup(request->r->pool, known->account));
    if (service != sf_resource_key_column(resource)) {
        sf_rows_know(rows, service, request->sid[0]);
    }
}

/* Tries the short way, for a Service that is known to be the credential's. It can only find something:
 * whatever else may be the case, the whole statement tells. */
static const sf_error *run_known(sf_request *request, sf_statement_id id, const char **all,
                                 sf_rows **rows)
{
    const sf_caller caller = sf_caller_of(request->r);
    const char *const credential[] = { all[0], all[1] };
    const sf_error *error;
    sf_ownership known;

    *rows = NULL;
    if (sf_statement_known[id] == id || !sf_ownership_cache_find(request, &known)) {
        return NULL;
    }
    all[0] = known.account;
    all[1] = NULL;
    error = sf_db_run_batched(&caller, sf_statement_known[id], all, rows);
    memcpy(all, credential, sizeof(credential));
    if (!are_found(&known, *rows)) {
        *rows = NULL;
        return error;
    }
    add_known(request, &known, *rows);
    return NULL;
}

/* Remembers whose the Service is, where that is known together with the tag. */
static void learn(const sf_request *request, sf_rows *rows)
{
    const char *account = sf_rows_value(rows, 0, sf_resource_column(request->resource, "AC"));
    const char *tag = sf_rows_credentials_tag(rows);
    sf_ownership ownership;

    if (account && *tag) {
        apr_cpystrn(ownership.account, account, sizeof(ownership.account));
        apr_cpystrn(ownership.credentials_tag, tag, sizeof(ownership.credentials_tag));
        sf_ownership_cache_keep(request, &ownership);
    }
}

const sf_error *sf_operation_run(sf_request *request, sf_statement_id id, int count,
                                 const char *const *values, const sf_outcome *outcomes,
                                 sf_rows **rows)
{
    const sf_caller caller = sf_caller_of(request->r);
    const char *all[SF_STATEMENT_MAX_PARAMETERS + 1];
    const sf_error *error;

    parameters(request, count, values, all);
    id = variant(request, id);
    error = run_known(request, id, all, rows);
    if (error || *rows) {
        return conclude(request, error, *rows, outcomes);
    }
    error = sf_db_run(&caller, id, all, rows);
    error = conclude(request, error, *rows, outcomes);
    if (!error && sf_statement_known[id] != id) {
        learn(request, *rows);
    }
    return error;
}

const sf_error *sf_operation_step(sf_request *request, sf_transaction *transaction,
                                  sf_statement_id id, int count, const char *const *values,
                                  const sf_outcome *outcomes, sf_rows **rows)
{
    const char *all[SF_STATEMENT_MAX_PARAMETERS + 1];
    const sf_error *error;

    parameters(request, count, values, all);
    error = sf_db_step(transaction, variant(request, id), all, rows);
    return conclude(request, error, *rows, outcomes);
}

const sf_error *sf_operation_check_credential(sf_request *request)
{
    const int sids = request->sids;
    const sf_resource *resource = request->resource;
    const sf_error *error;
    sf_rows *rows;

    if (request->credential_checked) {
        return NULL;
    }
    request->sids = 0; /* it takes none */
    request->resource = NULL;
    error = sf_operation_run(request, SF_STATEMENT_CREDENTIAL_CHECK, 0, NULL, NULL, &rows);
    request->sids = sids;
    request->resource = resource;
    return error;
}
