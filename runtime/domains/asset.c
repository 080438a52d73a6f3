#include "runtime/domains/asset.h"

#include "core/db/db.h"
#include "core/storage/chunk_bucket.h"
#include "core/storage/spool.h"

#include <apr_buckets.h>
#include <apr_encode.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>
#include <string.h>
#include <util_filter.h>

#define PUBLIC_CACHE "public, max-age=0, must-revalidate"

static void set_headers(sf_domain_request *request)
{
    request_rec *r = request->r;
    const sf_build_file *file = request->file;

    ap_set_content_type(r, file->content_type);
    ap_set_content_length(r, file->size);
    apr_table_setn(r->headers_out, "ETag", apr_pstrcat(r->pool, "\"", file->sha256, "\"", NULL));
    apr_table_setn(r->headers_out, "Cache-Control", PUBLIC_CACHE);
    apr_table_setn(r->headers_out, "Access-Control-Allow-Origin", "*");
    ap_update_mtime(r, file->date);
    ap_set_last_modified(r);
    ap_set_accept_ranges(r);
}

/* Reads the first chunk before the head of the answer is sent: where the content was deleted, another
 * answer is possible then. Returns OK and the chunk's bucket, or the status of the answer. */
static int read_first_chunk(const sf_domain_request *request, apr_bucket **first)
{
    request_rec *r = request->r;
    const sf_caller caller = sf_caller_of(r);
    const char *values[] = { request->route.service, request->file->sha256, "0" };
    apr_size_t length;
    const char *hex;
    sf_rows *rows;
    char *bytes;

    if (sf_db_run(&caller, SF_STATEMENT_CONTENT_CHUNK_FETCH, values, &rows)) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    if (sf_rows_count(rows) != 1) {
        return SF_DOMAIN_GONE;
    }
    hex = sf_rows_value(rows, 0, 0);
    bytes = apr_palloc(r->pool, strlen(hex) / 2 + 1);
    apr_decode_base16_binary((unsigned char *)bytes, hex, APR_ENCODE_STRING, APR_ENCODE_NONE,
                             &length);
    *first = apr_bucket_pool_create(bytes, length, r->pool, r->connection->bucket_alloc);
    return OK;
}

/* Appends the content to the brigade. The answer to a HEAD reads nothing. */
static int append_content(const sf_domain_request *request, apr_bucket_brigade *brigade)
{
    request_rec *r = request->r;
    const sf_caller caller = sf_caller_of(r);
    const sf_stored_content content = { .service = request->route.service,
                                        .sha256 = request->file->sha256,
                                        .size = request->file->size };
    apr_bucket *first;

    sf_chunk_buckets_append(brigade, &caller, &content);
    if (!r->header_only && content.size > 0) {
        const int status = read_first_chunk(request, &first);

        if (status != OK) {
            return status;
        }
        apr_bucket_delete(APR_BRIGADE_FIRST(brigade));
        APR_BRIGADE_INSERT_HEAD(brigade, first);
    }
    APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_eos_create(r->connection->bucket_alloc));
    return OK;
}

int sf_asset_send(sf_domain_request *request)
{
    request_rec *r = request->r;
    apr_bucket_brigade *brigade = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    int status = ap_discard_request_body(r);

    if (status != OK) {
        return status;
    }
    if (r->method_number
        != M_GET) { /* a webhook's POST of a file is answered with the file as it is */
        apr_table_unset(r->headers_in, "Range");
    }
    set_headers(request);
    if (r->method_number == M_GET && (status = ap_meets_conditions(r)) != OK) {
        return status;
    }
    status = append_content(request, brigade);
    if (status == OK) {
        ap_pass_brigade(r->output_filters, brigade);
    }
    return status;
}
