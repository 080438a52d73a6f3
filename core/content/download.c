#include "core/content/download.h"

#include "core/api/operation.h"
#include "core/api/resource.h"
#include "core/api/response.h"
#include "core/http/conditional.h"
#include "core/log.h"
#include "core/storage/spool.h"

#include <apr_buckets.h>
#include <apr_encode.h>
#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <string.h>
#include <util_filter.h>

/* The columns of version_content_head. */
enum { HEAD_OUTCOME, HEAD_SERVICE, HEAD_SHA256, HEAD_SIZE, HEAD_TYPE, HEAD_DATE };


/* A bucket for each chunk, which is read from the database when its turn comes --------------------- */

typedef struct {
    apr_bucket_refcount refcount; /* by the buckets that are parts of this chunk */
    request_rec *r;
    const char *service;
    const char *sha256;
    int number;
} chunk;

/* The chunk's bytes as a heap bucket's, or NULL. */
static char *fetch(const chunk *chunk, apr_pool_t *pool, apr_size_t *length)
{
    const sf_caller caller = { pool, chunk->r->server, chunk->r };
    const char *values[] = { chunk->service, chunk->sha256, apr_itoa(pool, chunk->number) };
    const char *hex;
    sf_rows *rows;
    char *bytes;

    if (sf_db_run(&caller, SF_STATEMENT_CONTENT_CHUNK_FETCH, values, &rows)
        || sf_rows_count(rows) != 1) {
        return NULL;
    }
    hex = sf_rows_value(rows, 0, 0);
    bytes = apr_bucket_alloc(strlen(hex) / 2 + 1, chunk->r->connection->bucket_alloc);
    apr_decode_base16_binary((unsigned char *)bytes, hex, APR_ENCODE_STRING, APR_ENCODE_NONE,
                             length);
    return bytes;
}

/* The rest cannot be had. Less has been sent than was announced, and with the connection's end the
 * client sees it, whatever filters are between. */
static apr_status_t give_up(const chunk *chunk)
{
    const sf_caller caller = sf_caller_of(chunk->r);

    sf_log(&caller, APLOG_ERR, "SF0040", "content breaks off: its chunk %d cannot be read",
           chunk->number);
    chunk->r->connection->keepalive = AP_CONN_CLOSE;
    return APR_EGENERAL;
}

/* Makes a heap bucket of the bucket: of the part of the chunk that it stands for. */
static apr_status_t read_chunk(apr_bucket *b, const char **data, apr_size_t *length,
                               apr_read_type_e block)
{
    chunk *chunk = b->data;
    const apr_off_t start = b->start;
    const apr_size_t wanted = b->length;
    apr_size_t fetched = 0;
    apr_pool_t *pool;
    char *bytes;

    apr_pool_create(&pool, chunk->r->pool);
    bytes = fetch(chunk, pool, &fetched);
    apr_pool_destroy(pool);
    if (fetched < (apr_size_t)start + wanted) {
        if (bytes) {
            apr_bucket_free(bytes);
        }
        return give_up(chunk);
    }
    b->type->destroy(chunk);
    apr_bucket_heap_make(b, bytes, fetched, apr_bucket_free);
    b->start = start;
    b->length = wanted;
    return apr_bucket_read(b, data, length, block);
}

static void destroy_chunk(void *data)
{
    apr_bucket_shared_destroy(data); /* its memory is the request's */
}

/* The request outlives its response, so there is nothing to be set aside. */
static const apr_bucket_type_t chunk_type = { "SF_CHUNK",
                                              5,
                                              APR_BUCKET_DATA,
                                              destroy_chunk,
                                              read_chunk,
                                              apr_bucket_setaside_noop,
                                              apr_bucket_shared_split,
                                              apr_bucket_shared_copy };

static apr_bucket *make_bucket(request_rec *r, sf_rows *head, int number, apr_size_t length)
{
    apr_bucket *b = apr_bucket_alloc(sizeof(*b), r->connection->bucket_alloc);
    chunk *chunk = apr_pcalloc(r->pool, sizeof(*chunk));

    chunk->r = r;
    chunk->service = sf_rows_value(head, 0, HEAD_SERVICE);
    chunk->sha256 = sf_rows_value(head, 0, HEAD_SHA256);
    chunk->number = number;
    APR_BUCKET_INIT(b);
    b->free = apr_bucket_free;
    b->list = r->connection->bucket_alloc;
    b->type = &chunk_type;
    return apr_bucket_shared_make(b, chunk, 0, length);
}


/* The answer ------------------------------------------------------------------------------------- */

/* Uploaded by a client, and possibly HTML: no browser is to take it for a page of this server's. */
static void set_headers(request_rec *r, sf_rows *head)
{
    ap_set_content_type(r, sf_rows_value(head, 0, HEAD_TYPE));
    ap_set_content_length(r, apr_atoi64(sf_rows_value(head, 0, HEAD_SIZE)));
    sf_conditional_headers(
        r, apr_pstrcat(r->pool, "\"", sf_rows_value(head, 0, HEAD_SHA256), "\"", NULL),
        apr_atoi64(sf_rows_value(head, 0, HEAD_DATE)));
    ap_set_accept_ranges(r);
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(r->headers_out, "Content-Security-Policy", "sandbox; default-src 'none'");
}

static apr_bucket_brigade *make_brigade(request_rec *r, sf_rows *head)
{
    apr_bucket_brigade *brigade = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    apr_off_t left = apr_atoi64(sf_rows_value(head, 0, HEAD_SIZE));
    int number;

    for (number = 0; left > 0; number++) {
        const apr_size_t length = left < SF_CHUNK_BYTES ? (apr_size_t)left : SF_CHUNK_BYTES;

        APR_BRIGADE_INSERT_TAIL(brigade, make_bucket(r, head, number, length));
        left -= (apr_off_t)length;
    }
    APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_eos_create(r->connection->bucket_alloc));
    return brigade;
}

const sf_error *sf_content_send(sf_request *request)
{
    request_rec *r = request->r;
    sf_rows *head;
    const sf_error *error
        = sf_operation_run(request, request->resource->fetch.statement, 0, NULL, NULL, &head);
    int condition;

    if (error) {
        return error;
    }
    set_headers(r, head);
    condition = ap_meets_conditions(r);
    if (condition != OK) {
        sf_response_status(request, condition);
        return NULL;
    }
    r->status = HTTP_OK;
    ap_pass_brigade(r->output_filters, make_brigade(r, head));
    return NULL;
}
