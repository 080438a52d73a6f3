#include "core/resource.h"

#include "core/page.h"
#include "core/record.h"
#include "core/reply.h"

#include <apr_strings.h>
#include <string.h>

int sf_resource_column(const sf_resource *resource, const char *prefix)
{
    int i;

    for (i = 0; resource->properties[i].name; i++) {
        if (resource->properties[i].kind == SF_AS_SID
            && strncmp(resource->properties[i].detail, prefix, SF_SID_PREFIX) == 0) {
            return SF_COLUMN(i);
        }
    }
    return -1;
}

int sf_resource_columns(const sf_resource *resource)
{
    int count = 0;

    while (resource->properties[count].name && resource->properties[count].kind != SF_AS_URL) {
        count++;
    }
    return SF_COLUMN(count);
}

static int count_of(const sf_param *params)
{
    int count = 0;

    while (params && params[count].name) {
        count++;
    }
    return count;
}

static const sf_error *answer(sf_request *request, int status, const sf_verb *verb,
                              const char *const *values, int count)
{
    const sf_resource *resource = request->resource;
    sf_rows *rows;
    const sf_error *error
        = sf_operation_run(request, verb->statement, count, values, resource->outcomes, &rows);

    error = error ? error : sf_record_check(request, rows);
    if (!error) {
        sf_reply_record(request, status, rows);
    }
    return error;
}

const sf_error *sf_resource_create_from(sf_request *request, int count, const char *const *values)
{
    return answer(request, HTTP_CREATED, &request->resource->create, values, count);
}

const sf_error *sf_resource_create(sf_request *request)
{
    const sf_param *params = request->resource->create.params;
    const char *values[SF_PARAMS_MAX];
    const sf_error *error = sf_params_read(request, params, values);

    return error ? error : sf_resource_create_from(request, count_of(params), values);
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
    const char *values[SF_PARAMS_MAX];
    const sf_error *error = sf_params_read(request, update->params, values);

    return error ? error : sf_resource_update_from(request, count_of(update->params), values);
}

const sf_error *sf_resource_delete(sf_request *request)
{
    const sf_resource *resource = request->resource;
    sf_rows *rows;
    const sf_error *error
        = sf_operation_run(request, resource->remove.statement, 0, NULL, resource->outcomes, &rows);

    if (!error) {
        sf_reply_nothing(request);
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

const sf_error *sf_resource_list(sf_request *request)
{
    const sf_resource *resource = request->resource;
    apr_pool_t *pool = request->r->pool;
    sf_page page;
    sf_page_scope scope;
    sf_rows *rows;
    const int maximum = resource->page_maximum ? resource->page_maximum : SF_PAGE_SIZE_MAX;
    const sf_error *error = sf_page_read(request, maximum, &page);

    if (!error) {
        const int from = page.direction == SF_PAGE_FROM;
        const char *values[] = { from ? page.row : "ffffffffffffffffffffffffffffffff",
                                 from ? NULL : page.row, apr_itoa(pool, page.size) };

        error = sf_operation_run(request, resource->list.statement, 3, values, resource->outcomes,
                                 &rows);
    }
    if (error) {
        return error;
    }
    scope.key = sf_rows_page_token_key(rows);
    scope.account = sf_rows_value(rows, 0, sf_resource_column(resource, "AC"));
    scope.list = list_path(request, rows);
    if (page.token && !sf_page_token_is_ours(pool, &page, &scope)) {
        return sf_error_make(pool, HTTP_BAD_REQUEST, "PageToken is not valid for this list");
    }
    error = sf_record_check(request, rows);
    if (error) {
        return error;
    }
    sf_reply_list(request, rows, &page, &scope);
    return NULL;
}
