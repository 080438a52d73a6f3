#include "core/api/verbs.h"

#include "core/api/idempotency.h"
#include "core/api/operation.h"
#include "core/api/page.h"
#include "core/api/response.h"
#include "core/api/row_json.h"
#include "core/http/conditional.h"

#include <apr_strings.h>
#include <string.h>

static const sf_error *answer(sf_request *request, int status, const sf_verb *verb,
                              const char *const *values, int count)
{
    const sf_resource *resource = request->resource;
    sf_rows *rows;
    const sf_error *error
        = sf_operation_run(request, verb->statement, count, values, resource->outcomes, &rows);

    error = error ? error : sf_record_check(request, rows);
    if (!error) {
        sf_response_record(request, status, rows);
    }
    return error;
}

typedef struct {
    sf_request *request;
    int count;
    const char *const *values;
    sf_rows *rows;
} creation;

static const sf_error *create(sf_transaction *transaction, void *data)
{
    creation *creation = data;
    const sf_resource *resource = creation->request->resource;

    return sf_operation_step(creation->request, transaction, resource->create.statement,
                             creation->count, creation->values, resource->outcomes,
                             &creation->rows);
}

const sf_error *sf_resource_create_from(sf_request *request, int count, const char *const *values)
{
    return sf_resource_create_known(request, count, values, count, values);
}

const sf_error *sf_resource_create_known(sf_request *request, int count, const char *const *values,
                                         int given, const char *const *same)
{
    creation creation = { request, count, values, NULL };
    const sf_error *error;

    if (!sf_idempotency_wanted(request)) { /* one statement needs no transaction around it */
        return answer(request, HTTP_CREATED, &request->resource->create, values, count);
    }
    error = sf_idempotency_create(request, given, same, create, &creation, &creation.rows);
    error = error ? error : sf_record_check(request, creation.rows);
    if (!error) {
        sf_response_record(request, HTTP_CREATED, creation.rows);
    }
    return error;
}

const sf_error *sf_resource_create(sf_request *request)
{
    const sf_param *params = request->resource->create.params;
    const char *values[SF_PARAMS_MAX];
    const sf_error *error = sf_params_read(request, params, values);

    return error ? error : sf_resource_create_from(request, sf_params_count(params), values);
}

const sf_error *sf_resource_fetch(sf_request *request)
{
    return answer(request, HTTP_OK, &request->resource->fetch, NULL, 0);
}

const sf_error *sf_resource_update_from(sf_request *request, int count, const char *const *values)
{
    return answer(request, HTTP_OK, &request->resource->update, values, count);
}

const sf_error *sf_resource_update(sf_request *request)
{
    const sf_verb *update = &request->resource->update;
    const char *values[1 + SF_PARAMS_MAX] = { sf_conditional_expected(request) };
    const sf_error *error = sf_params_read(request, update->params, values + 1);

    return error ? error
                 : sf_resource_update_from(request, 1 + sf_params_count(update->params), values);
}

const sf_error *sf_resource_delete(sf_request *request)
{
    const sf_resource *resource = request->resource;
    const char *expected = sf_conditional_expected(request);
    sf_rows *rows;
    const sf_error *error = sf_operation_run(request, resource->remove.statement, 1, &expected,
                                             resource->outcomes, &rows);

    if (!error) {
        sf_response_nothing(request);
    }
    return error;
}

/* The list's path with SIDs, whatever the client named the Service by. */
static const char *list_path(const sf_request *request, sf_rows *rows)
{
    const sf_resource *resource = request->resource;
    apr_pool_t *pool = request->r->pool;
    const char *own = strrchr(resource->pattern, '/');
    const char *pattern
        = apr_pstrmemdup(pool, resource->pattern, (apr_size_t)(own - resource->pattern));
    char *path = apr_palloc(pool, sf_record_path_room(pattern));

    sf_record_path(path, pattern, resource, rows, 0);
    return path;
}

/* The page's three values go behind those of the filters. */
static int place(apr_pool_t *pool, sf_page *page)
{
    const int from = page->direction == SF_PAGE_FROM;
    int count = sf_params_count(page->filters);

    page->values[count++] = from ? page->row : "ffffffffffffffffffffffffffffffff";
    page->values[count++] = from ? NULL : page->row;
    page->values[count++] = apr_itoa(pool, page->size);
    return count;
}

/* Takes the filters' values in force that the statement tells. */
static void complete(const sf_resource *resource, sf_rows *rows, sf_page *page)
{
    int column = sf_resource_columns(resource);
    int i;

    for (i = 0; i < sf_params_count(page->filters); i++) {
        if (page->filters[i].echoed) {
            page->values[i] = sf_rows_value(rows, 0, column++);
        }
    }
}

/* Whether what is to be found has been said; if not, the page is one of the whole list, which has no
 * filters. */
static int narrowed(const sf_resource *resource, sf_page *page)
{
    int i;

    for (i = 0; i < sf_params_count(resource->list_filtered.params); i++) {
        if (page->values[i]) {
            return 1;
        }
    }
    page->filters = resource->list.params;
    return 0;
}

const sf_error *sf_resource_list(sf_request *request)
{
    const sf_resource *resource = request->resource;
    apr_pool_t *pool = request->r->pool;
    const sf_verb *list = &resource->list;
    sf_page page = { .filters = resource->list_filtered.params ? resource->list_filtered.params
                                                               : list->params };
    sf_page_scope scope;
    sf_rows *rows;
    const int maximum = resource->page_maximum ? resource->page_maximum : SF_PAGE_SIZE_MAX;
    const sf_error *error = sf_page_read(request, maximum, &page);

    if (!error) {
        list = narrowed(resource, &page) ? &resource->list_filtered : list;
        error = sf_operation_run(request, list->statement, place(pool, &page), page.values,
                                 resource->outcomes, &rows);
    }
    if (error) {
        return error;
    }
    complete(resource, rows, &page);
    scope.key = sf_rows_page_token_key(rows);
    scope.account = sf_rows_value(rows, 0, sf_resource_column(resource, "AC"));
    scope.list = list_path(request, rows);
    scope.filters = sf_page_filters(pool, &page);
    if (page.token && !sf_page_token_is_ours(pool, &page, &scope)) {
        return sf_error_bad_request(pool, "PageToken is not valid for this list");
    }
    error = sf_record_check(request, rows);
    if (error) {
        return error;
    }
    sf_response_list(request, rows, &page, &scope);
    return NULL;
}
