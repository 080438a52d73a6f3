#include "core/http/error_filter.h"

#include "core/config.h"
#include "core/error.h"
#include "core/http/body.h"
#include "core/http/cors.h"
#include "core/http/request.h"
#include "core/http/request_limit.h"
#include "core/request_id.h"

#include <apr_buckets.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <string.h>
#include <util_filter.h>

#define FILTER_NAME "SERVERLESS_ERROR"

static ap_filter_rec_t *error_filter;

/* Returns the path as error messages have it: percent-encoded, without the prefix before
 * /Services. The prefix is "/v1" where httpd refused the request before it knew the Location. */
static const char *message_path(request_rec *r)
{
    const char *configured = sf_config_prefix(r);
    const char *prefix = configured ? configured : "/v1";
    const char *path = r->uri ? ap_os_escape_path(r->pool, r->uri, 1) : "/";
    const apr_size_t length = strlen(prefix);

    return strncmp(path, prefix, length) == 0 && path[length] == '/' ? path + length : path;
}

/* Returns the error of a hook before the handler, or an error for httpd's status. */
static const sf_error *response_error(request_rec *r)
{
    const sf_error *known = sf_request_of(r)->error;

    if (known) {
        return known;
    }
    return r->status == HTTP_NOT_FOUND ? sf_error_not_found(r->pool, message_path(r))
                                       : sf_error_of_status(r->pool, r->status);
}

/* Replaces httpd's body by the API's: sends it at the first call, and drops httpd's buckets at
 * each. */
static apr_status_t replace_body(ap_filter_t *filter, apr_bucket_brigade *original)
{
    request_rec *r = filter->r;
    apr_bucket_alloc_t *alloc = r->connection->bucket_alloc;
    apr_bucket_brigade *ours;
    const sf_error *error;
    const char *body;
    apr_size_t length;

    apr_brigade_cleanup(original);
    if (filter->ctx) {
        return APR_SUCCESS;
    }
    filter->ctx = filter; /* the body is sent */

    error = response_error(r);
    body = sf_error_body(r->pool, error, &length);
    r->status = error->status;
    r->status_line = NULL;
    sf_error_headers(r, error);
    ap_set_content_type(r, "application/json");
    ap_set_content_length(r, (apr_off_t)length);

    ours = apr_brigade_create(r->pool, alloc);
    APR_BRIGADE_INSERT_TAIL(ours, apr_bucket_pool_create(body, length, r->pool, alloc));
    APR_BRIGADE_INSERT_TAIL(ours, apr_bucket_eos_create(alloc));
    return ap_pass_brigade(filter->next, ours);
}

void sf_error_filter_register(void)
{
    error_filter = ap_register_output_filter(FILTER_NAME, replace_body, NULL, AP_FTYPE_CONTENT_SET);
}

void sf_error_filter_insert(request_rec *r)
{
    if (!sf_config_has_api(r->server) || r->status < HTTP_BAD_REQUEST) {
        return;
    }
    apr_table_setn(r->err_headers_out, "Twilio-Request-Id", sf_request_id(r));
    apr_table_setn(r->err_headers_out, "X-Content-Type-Options", "nosniff");
    sf_cors_add_headers(r);
    if (!sf_request_limit_has(r)) {
        sf_body_skip(r); /* such as that of a client without credentials, of whom no limit holds */
    }
    ap_add_output_filter_handle(error_filter, NULL, r, r->connection);
}

void sf_error_filter_suppress_documents(request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const int *status;

    if (!core->response_code_exprs) {
        return; /* none is configured */
    }
    for (status = sf_error_statuses; *status; status++) {
        ap_custom_response(r, *status, "");
    }
}
