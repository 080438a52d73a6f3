#include "core/api/verbs.h"

#include "core/api/idempotency.h"
#include "core/api/operation.h"
#include "core/api/page.h"
#include "core/api/response.h"
#include "core/api/row_json.h"
#include "core/http/conditional.h"

#include <apr_strings.h>
#include <string.h>

/* Whether the answer to a verb waits until the change is seen by each domain. */
static int changes_routes(const sf_resource *resource, const sf_verb *verb)
{
    const int bit = verb == &resource->create   ? SF_ON_CREATE
                    : verb == &resource->update ? SF_ON_UPDATE
                    : verb == &resource->remove ? SF_ON_REMOVE
                                                : 0;

    return (resource->route_changes & bit) != 0;
}

/* Returns the operation of a verb on the resource that the request's path names. */
static sf_operation operation_of(const sf_request *request, const sf_verb *verb, int count,
                                 const char *const *values)
{
    const sf_operation operation = { .statement = verb->statement,
                                     .scope = sf_scope_of_path(request),
                                     .count = count,
                                     .values = values,
                                     .outcomes = request->resource->outcomes,
                                     .has_route_wait = changes_routes(request->resource, verb) };

    return operation;
}

static const sf_error *send_resource(const sf_request *request, int status, sf_rows *rows)
{
    SF_TRY(sf_row_json_check(request, rows));
    sf_response_resource(request, status, rows);
    return NULL;
}

/* Runs one statement and answers with the resource in its first row. */
static const sf_error *run_and_send(sf_request *request, int status, const sf_operation *operation)
{
    sf_rows *rows;

    SF_TRY(sf_operation_run(request, operation, &rows));
    return send_resource(request, status, rows);
}


/* Create ----------------------------------------------------------------------------------------- */

typedef struct {
    sf_request *request;
    sf_operation operation;
    sf_idempotency once;
    sf_rows *rows; /* of the resource */
} create_context;

static const sf_error *create_once(sf_transaction *transaction, void *data)
{
    create_context *create = data;

    SF_TRY(sf_idempotency_claim(&create->once, transaction, &create->rows));
    if (create->rows) {
        return NULL;
    }
    SF_TRY(sf_operation_step(create->request, transaction, &create->operation, &create->rows));
    return sf_idempotency_record(&create->once, transaction, create->rows);
}

const sf_error *sf_verb_create_from(sf_request *request, int count, const char *const *values)
{
    return sf_verb_create_repeatable(request, count, values, count, values);
}

const sf_error *sf_verb_create_repeatable(sf_request *request, int count, const char *const *values,
                                          int given_count, const char *const *given)
{
    const sf_caller caller = sf_caller_of(request->r);
    create_context create
        = { .request = request,
            .operation = operation_of(request, &request->resource->create, count, values) };
    const sf_error *error;

    if (!sf_idempotency_is_wanted(request)) { /* one statement needs no transaction around it */
        return run_and_send(request, HTTP_CREATED, &create.operation);
    }
    SF_TRY(sf_idempotency_read(&create.once, request, given_count, given));
    error = sf_db_transaction(&caller, create_once, &create);
    sf_operation_wait_for_routes(request);
    SF_TRY(error);
    sf_idempotency_set_header(&create.once);
    return send_resource(request, HTTP_CREATED, create.rows);
}

const sf_error *sf_verb_create(sf_request *request)
{
    const sf_param *params = request->resource->create.params;
    const char *values[SF_PARAMS_MAX];

    SF_TRY(sf_params_read(request, params, values));
    return sf_verb_create_from(request, sf_params_count(params), values);
}


/* Fetch, update, delete -------------------------------------------------------------------------- */

const sf_error *sf_verb_fetch(sf_request *request)
{
    const sf_operation fetch = operation_of(request, &request->resource->fetch, 0, NULL);

    return run_and_send(request, HTTP_OK, &fetch);
}

const sf_error *sf_verb_update_from(sf_request *request, int count, const char *const *values)
{
    const sf_operation update = operation_of(request, &request->resource->update, count, values);

    return run_and_send(request, HTTP_OK, &update);
}

const sf_error *sf_verb_update(sf_request *request)
{
    const sf_param *params = request->resource->update.params;
    const char *values[1 + SF_PARAMS_MAX] = { sf_conditional_expected(request) };

    SF_TRY(sf_params_read(request, params, values + 1));
    return sf_verb_update_from(request, 1 + sf_params_count(params), values);
}

const sf_error *sf_verb_delete(sf_request *request)
{
    const char *expected = sf_conditional_expected(request);
    const sf_operation remove = operation_of(request, &request->resource->remove, 1, &expected);
    sf_rows *rows;

    SF_TRY(sf_operation_run(request, &remove, &rows));
    sf_response_no_content(request);
    return NULL;
}


/* List ------------------------------------------------------------------------------------------- */

/* Chooses the statement that lists: `list_filtered`, if the resource has one and the client gave
 * one of its filters, else `list`. */
static const sf_verb *choose_list(const sf_resource *resource, const sf_page *page)
{
    int i;

    for (i = 0; i < sf_params_count(resource->list_filtered.params); i++) {
        if (page->values[i]) {
            return &resource->list_filtered;
        }
    }
    return &resource->list;
}

/* Adds the page's three values after those of the filters. Returns the count of all. */
static int add_page_values(apr_pool_t *pool, sf_page *page)
{
    const int is_from = page->direction == SF_PAGE_FROM;
    int count = sf_params_count(page->filters);

    page->values[count++] = is_from ? page->row : SF_PAGE_NEWEST_ROW;
    page->values[count++] = is_from ? NULL : page->row;
    page->values[count++] = apr_itoa(pool, page->size);
    return count;
}

/* Replaces the values of echoed filters by those that the statement returned. */
static void read_echoed_filters(const sf_resource *resource, sf_rows *rows, sf_page *page)
{
    int column = sf_resource_list_columns(resource);
    int i;

    for (i = 0; i < sf_params_count(page->filters); i++) {
        if (page->filters[i].echoed) {
            page->values[i] = sf_rows_value(rows, 0, column++);
        }
    }
}

/* The scope that the page's token and those of its neighbours are signed for. */
static sf_page_scope page_scope(const sf_request *request, const sf_page *page, sf_rows *rows)
{
    const sf_page_scope scope
        = { .key = sf_rows_page_token_key(rows),
            .account = sf_rows_value(rows, 0, SF_COLUMN_ACCOUNT),
            .list = sf_resource_list_path(request->r->pool, request->resource, rows),
            .filters = sf_page_filters(request->r->pool, page) };

    return scope;
}

static const sf_error *read_page(const sf_request *request, sf_page *page)
{
    const sf_resource *resource = request->resource;
    const int maximum = resource->page_maximum ? resource->page_maximum : SF_PAGE_SIZE_MAX;

    page->filters
        = resource->list_filtered.params ? resource->list_filtered.params : resource->list.params;
    return sf_page_read(request, maximum, page);
}

const sf_error *sf_verb_list(sf_request *request)
{
    const sf_verb *verb;
    sf_page page;
    sf_page_scope scope;
    sf_operation operation;
    sf_rows *rows;

    SF_TRY(read_page(request, &page));
    verb = choose_list(request->resource, &page);
    page.filters = verb->params;
    operation = operation_of(request, verb, add_page_values(request->r->pool, &page), page.values);
    SF_TRY(sf_operation_run(request, &operation, &rows));
    read_echoed_filters(request->resource, rows, &page);
    scope = page_scope(request, &page, rows);
    if (page.token && !sf_page_token_is_valid(request->r->pool, &page, &scope)) {
        return sf_error_bad_request(request->r->pool, "PageToken is not valid for this list");
    }
    SF_TRY(sf_row_json_check(request, rows));
    sf_response_list(request, rows, &page, &scope);
    return NULL;
}
