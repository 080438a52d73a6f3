#include "core/api/dispatch.h"

#include "core/api/operation.h"
#include "core/api/resource.h"
#include "core/api/response.h"
#include "core/auth/provider.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#define PLACEHOLDER_LENGTH 4 /* {ZH} */


/* Paths ------------------------------------------------------------------------------------------ */

/* Whether the path has the pattern's form. Each placeholder's part of it goes to `parts`, counted in
 * `count`. */
static int matches(const char *pattern, const char *path, const char **parts, apr_size_t *lengths,
                   int *count)
{
    *count = 0;
    while (*pattern) {
        if (*pattern == '{') {
            apr_size_t length = strcspn(path, "/");

            if (length == 0) {
                return 0;
            }
            parts[*count] = path;
            lengths[(*count)++] = length;
            path += length;
            pattern += PLACEHOLDER_LENGTH;
        }
        else if (*pattern++ != *path++) {
            return 0;
        }
    }
    return *path == '\0';
}

/* The path's SIDs into the request; 0 where one is malformed or of the wrong kind. */
static int read_sids(sf_request *request, const char *pattern, const char *const *parts,
                     const apr_size_t *lengths)
{
    int i;

    for (i = 0; i < request->sids; i++) {
        const char *part = apr_pstrmemdup(request->r->pool, parts[i], lengths[i]);

        pattern = strchr(pattern, '{') + 1;
        if (sf_sid_parse(part, pattern, request->sid[i])) {
            continue;
        }
        if (strncmp(pattern, "ZS", SF_SID_PREFIX) != 0 || !sf_unique_name_is_valid(part)) {
            return 0;
        }
        request->unique_name = part;
    }
    return 1;
}


/* Methods ---------------------------------------------------------------------------------------- */

/* Adds the route's method to a list for the Allow header. */
static const char *allow(apr_pool_t *pool, const char *list, int method)
{
    const char *name = method == M_GET ? "GET, HEAD" : method == M_POST ? "POST" : "DELETE";

    return list ? apr_pstrcat(pool, list, ", ", name, NULL) : name;
}

static const sf_error *answer_options(sf_request *request, const char *allowed)
{
    const sf_error *error = sf_operation_check_credential(request);

    if (!error) {
        apr_table_setn(request->r->headers_out, "Allow", allowed);
        sf_response_no_content(request);
    }
    return error;
}


/* Stages ----------------------------------------------------------------------------------------- */

/* httpd cuts a range out of any success, an update's too, and refuses what has been done where there is
 * none. What is JSON has no parts. */
static void ignore_ranges(request_rec *r)
{
    apr_table_unset(r->headers_in, "Range");
    apr_table_unset(r->headers_in, "Request-Range"); /* what Range was once called */
}

static const sf_error *answer(sf_request *request, const sf_route *route)
{
    request->resource = route->resource;
    if (!route->resource->has_ranges) {
        ignore_ranges(request->r);
    }
    return route->answer(request);
}

static const sf_error *route(sf_request *request, const char *path, const sf_route *routes)
{
    apr_pool_t *pool = request->r->pool;
    const char *parts[SF_PATH_SIDS] = { NULL };
    apr_size_t lengths[SF_PATH_SIDS] = { 0 };
    const char *allowed = NULL;

    for (; routes->pattern; routes++) {
        if (!matches(routes->pattern, path, parts, lengths, &request->sids)) {
            continue;
        }
        if (routes->method == request->r->method_number) {
            return read_sids(request, routes->pattern, parts, lengths)
                       ? answer(request, routes)
                       : sf_error_not_found(pool, sf_request_path(request));
        }
        allowed = allow(pool, allowed, routes->method);
    }
    request->sids = 0;
    if (!allowed) {
        return sf_error_not_found(pool, sf_request_path(request));
    }
    allowed = apr_pstrcat(pool, allowed, ", OPTIONS", NULL);
    return request->r->method_number == M_OPTIONS ? answer_options(request, allowed)
                                                  : sf_error_method(pool, allowed);
}

/* Whoever may not ask is told so first, whatever else the client did wrong. */
static const sf_error *blame(sf_request *request, const sf_error *error)
{
    const sf_error *unauthenticated
        = error->status >= HTTP_BAD_REQUEST && error->status < HTTP_INTERNAL_SERVER_ERROR
              ? sf_operation_check_credential(request)
              : NULL;

    return unauthenticated ? unauthenticated : error;
}

int sf_dispatch(sf_request *request, const sf_route *routes)
{
    request_rec *r = request->r;
    const char *path = r->uri + strlen(request->prefix);
    const sf_error *error;

    error = sf_auth_take_user(request);
    if (!error) {
        error = route(request, path, routes);
        error = error ? blame(request, error) : NULL;
    }
    if (!error) {
        return OK;
    }
    if (error->status == AP_FILTER_ERROR) {
        return AP_FILTER_ERROR;
    }
    if (error->status == HTTP_UNAUTHORIZED) {
        sf_auth_challenge(r);
    }
    sf_response_error(r, error);
    return OK;
}
