#include "handlers/openapi.h"

#include "core/config.h"
#include "core/http/request.h"
#include "core/http/request_limit.h"

#include <apr_buckets.h>
#include <http_protocol.h>
#include <http_request.h>
#include <string.h>
#include <util_filter.h>

#include "openapi_text.h" /* made from docs/openapi.yaml */

#define HANDLER "serverless-openapi"
#define TYPE "application/yaml"
#define ETAG "\"" SF_OPENAPI_TEXT_DIGEST "\""

/* Answers OPTIONS as the API does. */
static void answer_options(request_rec *r)
{
    r->status = HTTP_NO_CONTENT;
    apr_table_setn(r->headers_out, "Allow", "GET, HEAD, OPTIONS");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
}

static int send_description(request_rec *r)
{
    apr_bucket_alloc_t *alloc = r->connection->bucket_alloc;
    apr_bucket_brigade *body = apr_brigade_create(r->pool, alloc);
    const apr_size_t length = sizeof(sf_openapi_text) - 1;

    ap_set_content_type(r, TYPE);
    ap_set_content_length(r, (apr_off_t)length);
    ap_set_accept_ranges(r);
    APR_BRIGADE_INSERT_TAIL(body, apr_bucket_immortal_create(sf_openapi_text, length, alloc));
    APR_BRIGADE_INSERT_TAIL(body, apr_bucket_eos_create(alloc));
    return ap_pass_brigade(r->output_filters, body) == APR_SUCCESS ? OK : AP_FILTER_ERROR;
}

int sf_openapi_handler(request_rec *r)
{
    int status;

    if (!r->handler || strcmp(r->handler, HANDLER) != 0) {
        return DECLINED;
    }
    sf_request_of(r)->error = sf_request_limit_add(r, NULL);
    if (sf_request_of(r)->error) {
        if (!sf_config_has_api(r->server)) { /* where the error filter does not */
            sf_error_headers(r, sf_request_of(r)->error);
        }
        return HTTP_SERVICE_UNAVAILABLE;
    }
    ap_allow_standard_methods(r, REPLACE_ALLOW, M_GET, M_OPTIONS, -1);
    if (r->method_number == M_OPTIONS) {
        answer_options(r);
        return OK;
    }
    if (r->method_number != M_GET) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(r->headers_out, "ETag", ETAG);
    status = ap_meets_conditions(r);
    return status == OK ? send_description(r) : status;
}
