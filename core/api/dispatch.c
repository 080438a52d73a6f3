#include "core/api/dispatch.h"

#include "core/api/operation.h"
#include "core/api/resource.h"
#include "core/api/response.h"
#include "core/auth/provider.h"
#include "core/http/ranges.h"
#include "core/http/request_limit.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>


/* Paths ------------------------------------------------------------------------------------------ */

/* The parts of a path that stand for a pattern's placeholders. */
typedef struct {
    const char *text[SF_PATH_SIDS];
    apr_size_t length[SF_PATH_SIDS];
    int count;
} path_parts;

/* Whether the path has the pattern's form; its parts go to `parts`. */
static int match_path(const char *pattern, const char *path, path_parts *parts)
{
    parts->count = 0;
    while (*pattern) {
        if (*pattern == '{') {
            apr_size_t length = strcspn(path, "/");

            if (length == 0) {
                return 0;
            }
            parts->text[parts->count] = path;
            parts->length[parts->count++] = length;
            path += length;
            pattern += SF_PLACEHOLDER_LENGTH;
        }
        else if (*pattern++ != *path++) {
            return 0;
        }
    }
    return *path == '\0';
}

/* Reads one part of the path as a SID of the kind `prefix`, or as the UniqueName of a Service.
 * Returns 0 if it is neither. */
static int read_part(sf_request *request, const char *prefix, const char *part)
{
    if (sf_sid_parse(part, prefix, request->sid[request->sids])) {
        return 1;
    }
    if (strncmp(prefix, "ZS", SF_SID_PREFIX) == 0 && sf_unique_name_is_valid(part)) {
        request->unique_name = part;
        return 1;
    }
    return 0;
}

/* Reads the path's SIDs into the request. Returns 0 if one is malformed or of another kind. */
static int read_sids(sf_request *request, const char *pattern, const path_parts *parts)
{
    for (request->sids = 0; request->sids < parts->count; request->sids++) {
        const char *part = apr_pstrmemdup(request->r->pool, parts->text[request->sids],
                                          parts->length[request->sids]);

        pattern = strchr(pattern, '{') + 1;
        if (!read_part(request, pattern, part)) {
            return 0;
        }
    }
    return 1;
}


/* Methods ---------------------------------------------------------------------------------------- */

/* Appends a route's method to the value of Allow, which is NULL at first. */
static const char *append_method(apr_pool_t *pool, const char *allowed, int method)
{
    const char *name = method == M_GET ? "GET, HEAD" : method == M_POST ? "POST" : "DELETE";

    return allowed ? apr_pstrcat(pool, allowed, ", ", name, NULL) : name;
}

static const sf_error *send_options(sf_request *request, const char *allowed)
{
    SF_TRY(sf_operation_check_credential(request));
    apr_table_setn(request->r->headers_out, "Allow", allowed);
    sf_response_no_content(request);
    return NULL;
}

/* Handles a path that has routes, but none for the request's method. */
static const sf_error *handle_other_method(sf_request *request, const char *allowed)
{
    apr_pool_t *pool = request->r->pool;

    allowed = apr_pstrcat(pool, allowed, ", OPTIONS", NULL);
    return request->r->method_number == M_OPTIONS ? send_options(request, allowed)
                                                  : sf_error_method(pool, allowed);
}


/* Stages ----------------------------------------------------------------------------------------- */

/* Runs the operation of a route, which has this number among them all. */
static const sf_error *run_route(sf_request *request, const sf_api_route *route, int operation)
{
    request->parts.operation = operation;
    request->resource = route->resource;
    if (!route->resource->has_ranges) {
        sf_ranges_ignore(request->r);
    }
    return route->answer(request);
}

/* Finds the route for the request's path and method and runs its operation. */
static const sf_error *find_route(sf_request *request, const char *path, const sf_api_route *routes)
{
    const sf_api_route *first = routes;
    apr_pool_t *pool = request->r->pool;
    const char *allowed = NULL;
    path_parts parts;

    for (; routes->pattern; routes++) {
        if (!match_path(routes->pattern, path, &parts)) {
            continue;
        }
        if (routes->method == request->r->method_number) {
            return read_sids(request, routes->pattern, &parts)
                       ? run_route(request, routes, 1 + (int)(routes - first))
                       : sf_error_not_found(pool, sf_request_path(request));
        }
        allowed = append_method(pool, allowed, routes->method);
    }
    return allowed ? handle_other_method(request, allowed)
                   : sf_error_not_found(pool, sf_request_path(request));
}

/* Returns 401 in place of any other 4xx if the credential does not hold: 401 takes precedence, so
 * that only authenticated clients learn more. Server errors stay. */
static const sf_error *prefer_unauthenticated(sf_request *request, const sf_error *error)
{
    if (error && error->status >= HTTP_BAD_REQUEST && error->status < HTTP_INTERNAL_SERVER_ERROR) {
        SF_TRY(sf_operation_check_credential(request));
    }
    return error;
}

static const sf_error *handle(sf_request *request, const sf_api_route *routes)
{
    const char *path = request->r->uri + strlen(request->prefix);

    SF_TRY(sf_auth_take_user(request));
    SF_TRY(sf_request_limit_add(request->r, request->account));
    return prefer_unauthenticated(request, find_route(request, path, routes));
}

int sf_dispatch(sf_request *request, const sf_api_route *routes)
{
    const sf_error *error = handle(request, routes);

    if (!error) {
        return OK;
    }
    if (error->status == AP_FILTER_ERROR) {
        return AP_FILTER_ERROR;
    }
    if (error->status == HTTP_UNAUTHORIZED) {
        sf_auth_challenge(request->r);
    }
    sf_response_error(request->r, error);
    return OK;
}
