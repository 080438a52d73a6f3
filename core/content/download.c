#include "core/content/download.h"

#include "core/api/operation.h"
#include "core/api/resource.h"
#include "core/api/response.h"
#include "core/http/conditional.h"
#include "core/http/ranges.h"
#include "core/storage/chunk_bucket.h"

#include <apr_buckets.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>
#include <string.h>
#include <util_filter.h>

/* The columns of version_content_head. */
enum { HEAD_OUTCOME, HEAD_SERVICE, HEAD_SHA256, HEAD_SIZE, HEAD_TYPE, HEAD_DATE };

/* Sets the headers of the response. An Asset may be private, so that no client is to keep its
 * content. The content was uploaded by a client and may be HTML: the last header and nosniff, which
 * every response has, keep a browser from running it as a page of this server. */
static void set_headers(request_rec *r, sf_rows *head)
{
    ap_set_content_type(r, sf_rows_value(head, 0, HEAD_TYPE));
    ap_set_content_length(r, apr_atoi64(sf_rows_value(head, 0, HEAD_SIZE)));
    sf_conditional_headers(
        r, apr_pstrcat(r->pool, "\"", sf_rows_value(head, 0, HEAD_SHA256), "\"", NULL),
        apr_atoi64(sf_rows_value(head, 0, HEAD_DATE)));
    ap_set_accept_ranges(r);
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "Content-Security-Policy", "sandbox; default-src 'none'");
}

static apr_bucket_brigade *make_brigade(request_rec *r, sf_rows *head)
{
    const sf_caller caller = sf_caller_of(r);
    const sf_stored_content content = { .service = sf_rows_value(head, 0, HEAD_SERVICE),
                                        .sha256 = sf_rows_value(head, 0, HEAD_SHA256),
                                        .size = apr_atoi64(sf_rows_value(head, 0, HEAD_SIZE)) };
    apr_bucket_brigade *brigade = apr_brigade_create(r->pool, r->connection->bucket_alloc);

    sf_chunk_buckets_append(brigade, &caller, &content);
    APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_eos_create(r->connection->bucket_alloc));
    return brigade;
}

const sf_error *sf_content_send(sf_request *request)
{
    request_rec *r = request->r;
    const sf_operation fetch
        = { .statement = request->resource->fetch.statement, .scope = sf_scope_of_path(request) };
    sf_rows *head;
    int condition;

    SF_TRY(sf_operation_run(request, &fetch, &head));
    set_headers(r, head);
    condition = ap_meets_conditions(r);
    if (condition != OK) {
        sf_response_status(request, condition);
        return NULL;
    }
    sf_ranges_accept_ascending(r, apr_atoi64(sf_rows_value(head, 0, HEAD_SIZE)));
    r->status = HTTP_OK;
    ap_pass_brigade(r->output_filters, make_brigade(r, head));
    return NULL;
}
