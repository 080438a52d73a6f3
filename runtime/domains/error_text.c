#include "runtime/domains/error_text.h"

#include "core/request_id.h"

#include <apr_buckets.h>
#include <apr_strings.h>
#include <mod_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <string.h>
#include <util_filter.h>

#define FILTER_NAME "SERVERLESS_DOMAIN_ERROR"
#define RETRY_AFTER "1"
#define ALLOW "GET, HEAD, POST, OPTIONS"

static ap_filter_rec_t *error_filter;

static const struct {
    int status;
    const char *text;
} texts[] = {
    { HTTP_BAD_REQUEST, "The request is malformed.\n" },
    { HTTP_FORBIDDEN, "Access is forbidden.\n" },
    { HTTP_NOT_FOUND, "Nothing was found here.\n" },
    { HTTP_METHOD_NOT_ALLOWED, "The method is not allowed.\n" },
    { HTTP_REQUEST_ENTITY_TOO_LARGE, "The request is too large.\n" },
    { HTTP_INTERNAL_SERVER_ERROR, "An internal error occurred.\n" },
    { HTTP_TOO_MANY_REQUESTS, "Too many calls are running.\n" },
    { HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE, "Headers or cookies are too long.\n" },
    { HTTP_GATEWAY_TIME_OUT, "runtime application timed out\n" },
    { HTTP_SERVICE_UNAVAILABLE, "The service is temporarily unavailable.\n" },
};

static const char *text_of(apr_pool_t *pool, int status)
{
    apr_size_t i;

    for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        if (texts[i].status == status) {
            return texts[i].text;
        }
    }
    return apr_psprintf(pool, "The request has failed (%d).\n", status);
}

static void set_headers(request_rec *r)
{
    apr_table_setn(r->headers_out, "Twilio-Request-Id", sf_request_id(r));
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    apr_table_unset(r->headers_out, "Allow");
    if (r->status == HTTP_METHOD_NOT_ALLOWED) {
        apr_table_setn(r->headers_out, "Allow", ALLOW);
    }
    if (r->status == HTTP_SERVICE_UNAVAILABLE || r->status == HTTP_TOO_MANY_REQUESTS) {
        apr_table_setn(r->headers_out, "Retry-After", RETRY_AFTER);
    }
}

/* Replaces httpd's body by the text: sends it at the first call, and drops httpd's buckets at each. */
static apr_status_t replace_body(ap_filter_t *filter, apr_bucket_brigade *original)
{
    request_rec *r = filter->r;
    apr_bucket_alloc_t *alloc = r->connection->bucket_alloc;
    const char *text = text_of(r->pool, r->status);
    apr_bucket_brigade *ours;

    apr_brigade_cleanup(original);
    if (filter->ctx) {
        return APR_SUCCESS;
    }
    filter->ctx = filter; /* the text is sent */
    set_headers(r);
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, (apr_off_t)strlen(text));
    ours = apr_brigade_create(r->pool, alloc);
    APR_BRIGADE_INSERT_TAIL(ours, apr_bucket_immortal_create(text, strlen(text), alloc));
    APR_BRIGADE_INSERT_TAIL(ours, apr_bucket_eos_create(alloc));
    return ap_pass_brigade(filter->next, ours);
}

void sf_error_text_register(void)
{
    error_filter = ap_register_output_filter(FILTER_NAME, replace_body, NULL, AP_FTYPE_CONTENT_SET);
}

void sf_error_text_insert(request_rec *r)
{
    if (r->status >= HTTP_BAD_REQUEST
        && !ap_response_code_string(r, ap_index_of_response(r->status))) {
        ap_add_output_filter_handle(error_filter, NULL, r, r->connection);
    }
}
