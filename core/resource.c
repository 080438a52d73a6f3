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

static int count_of(const sf_param *params)
{
    int count = 0;

    while (params[count].name) {
        count++;
    }
    return count;
}

const sf_error *sf_resource_answer(sf_request *request, int status, const sf_resource *resource,
                                   sf_statement_id id, int count, const char *const *values)
{
    sf_rows *rows;
    const sf_error *error = sf_operation_run(request, id, count, values, resource->outcomes, &rows);

    if (!error) {
        sf_reply_record(request, status, resource, rows);
    }
    return error;
}

/* What create and update have in common. */
static const sf_error *write_params(sf_request *request, int status, const sf_resource *resource,
                                    sf_statement_id id, const sf_param *params)
{
    const char *values[SF_PARAMS_MAX];
    const sf_error *error = sf_params_read(request, params, values);

    return error ? error
                 : sf_resource_answer(request, status, resource, id, count_of(params), values);
}

const sf_error *sf_resource_create(sf_request *request, const sf_resource *resource,
                                   sf_statement_id id, const sf_param *params)
{
    return write_params(request, HTTP_CREATED, resource, id, params);
}

const sf_error *sf_resource_update(sf_request *request, const sf_resource *resource,
                                   sf_statement_id id, const sf_param *params)
{
    return write_params(request, HTTP_OK, resource, id, params);
}

const sf_error *sf_resource_fetch(sf_request *request, const sf_resource *resource,
                                  sf_statement_id id)
{
    return sf_resource_answer(request, HTTP_OK, resource, id, 0, NULL);
}

const sf_error *sf_resource_delete(sf_request *request, const sf_resource *resource,
                                   sf_statement_id id)
{
    sf_rows *rows;
    const sf_error *error = sf_operation_run(request, id, 0, NULL, resource->outcomes, &rows);

    if (!error) {
        sf_reply_nothing(request);
    }
    return error;
}

/* The list's path with SIDs, whatever the client named the Service by. */
static const char *list_path(const sf_request *request, const sf_resource *resource, sf_rows *rows)
{
    apr_pool_t *pool = request->r->pool;
    const char *own = strrchr(resource->pattern, '/');
    const char *pattern
        = apr_pstrmemdup(pool, resource->pattern, (apr_size_t)(own - resource->pattern));
    char *path = apr_palloc(pool, sf_record_path_room(pattern));

    sf_record_path(path, pattern, resource, rows, 0);
    return path;
}

const sf_error *sf_resource_list(sf_request *request, const sf_resource *resource,
                                 sf_statement_id id)
{
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

        error = sf_operation_run(request, id, 3, values, resource->outcomes, &rows);
    }
    if (error) {
        return error;
    }
    scope.key = sf_rows_page_token_key(rows);
    scope.account = sf_rows_value(rows, 0, sf_resource_column(resource, "AC"));
    scope.list = list_path(request, resource, rows);
    if (page.token && !sf_page_token_is_ours(pool, &page, &scope)) {
        return sf_error_make(pool, HTTP_BAD_REQUEST, "PageToken is not valid for this list");
    }
    sf_reply_list(request, resource, rows, &page, &scope);
    return NULL;
}
