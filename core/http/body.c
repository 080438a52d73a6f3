#include "core/http/body.h"

#include <apr_buckets.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>
#include <util_filter.h>

/* Bytes that are asked for at a time. */
#define READ_SIZE 8192

typedef struct {
    request_rec *r;
    apr_off_t left; /* bytes that the body may still have */
    sf_body_sink *sink;
    void *data;
    int ended; /* the end of the body has come */
} stream;

void sf_body_skip(request_rec *r)
{
    const char *length = apr_table_get(r->headers_in, "Content-Length");

    if (apr_table_get(r->headers_in, "Transfer-Encoding") || (length && strcmp(length, "0") != 0)) {
        r->connection->keepalive = AP_CONN_CLOSE;
    }
}

/* Passes the bytes of one bucket to the sink. */
static const sf_error *take_bucket(stream *body, apr_bucket *bucket)
{
    const char *bytes;
    apr_size_t size;
    apr_status_t rv;

    if (APR_BUCKET_IS_METADATA(bucket)) {
        if (APR_BUCKET_IS_EOS(bucket)) {
            body->ended = 1;
        }
        return NULL;
    }
    rv = apr_bucket_read(bucket, &bytes, &size, APR_BLOCK_READ);
    if (rv != APR_SUCCESS) {
        return sf_error_of_status(body->r->pool, ap_map_http_request_error(rv, HTTP_BAD_REQUEST));
    }
    if ((apr_off_t)size > body->left) {
        return sf_error_of_status(body->r->pool, HTTP_REQUEST_ENTITY_TOO_LARGE);
    }
    body->left -= (apr_off_t)size;
    return body->sink(body->data, bytes, size);
}

/* Refuses a body with a content coding, which nothing here decodes. An input filter of httpd that does
 * (mod_deflate's) has removed the header, once it has been asked for bytes. */
static const sf_error *check_content_encoding(const request_rec *r)
{
    const char *coding = apr_table_get(r->headers_in, "Content-Encoding");

    if (!coding || !*coding || ap_cstr_casecmp(coding, "identity") == 0) {
        return NULL;
    }
    apr_table_setn(r->err_headers_out, "Accept-Encoding", "identity");
    return sf_error_make(r->pool, HTTP_UNSUPPORTED_MEDIA_TYPE,
                         "The body must not have a Content-Encoding other than identity");
}

/* Takes the bytes that have arrived, or waits for some. */
static const sf_error *receive(stream *body, apr_bucket_brigade *received)
{
    const sf_error *error;
    apr_bucket *bucket;
    apr_status_t rv = ap_get_brigade(body->r->input_filters, received, AP_MODE_READBYTES,
                                     APR_BLOCK_READ, READ_SIZE);

    if (rv != APR_SUCCESS) {
        return sf_error_of_status(body->r->pool, ap_map_http_request_error(rv, HTTP_BAD_REQUEST));
    }
    error = check_content_encoding(body->r);
    for (bucket = APR_BRIGADE_FIRST(received);
         bucket != APR_BRIGADE_SENTINEL(received) && !body->ended && !error;
         bucket = APR_BUCKET_NEXT(bucket)) {
        error = take_bucket(body, bucket);
    }
    apr_brigade_cleanup(received);
    return error;
}

/* Refuses a body by its Content-Length. A client that waits for 100 (Continue) does not send it
 * then. httpd itself refuses a malformed Content-Length. */
static const sf_error *check_content_length(const request_rec *r, apr_off_t limit)
{
    const char *header = apr_table_get(r->headers_in, "Content-Length");
    apr_off_t length;

    return header && ap_parse_strict_length(&length, header) && length > limit
               ? sf_error_of_status(r->pool, HTTP_REQUEST_ENTITY_TOO_LARGE)
               : NULL;
}

const sf_error *sf_body_stream(request_rec *r, apr_off_t limit, sf_body_sink *sink, void *data)
{
    apr_bucket_brigade *received = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    stream body = { r, limit, sink, data, 0 };
    const sf_error *error = check_content_length(r, limit);

    while (!body.ended && !error) {
        error = receive(&body, received);
    }
    if (error) {
        r->connection->keepalive = AP_CONN_CLOSE; /* the rest of the body stays unread */
    }
    return error;
}


/* Whole bodies -------------------------------------------------------------------------------- */

typedef struct {
    apr_pool_t *pool;
    char *bytes;
    apr_size_t length;
    apr_size_t room;
} buffer;

static const sf_error *append_bytes(void *data, const char *bytes, apr_size_t size)
{
    buffer *whole = data;

    if (whole->length + size + 1 > whole->room) { /* one for the NUL */
        char *larger;

        whole->room = 2 * (whole->length + size) + 1;
        larger = apr_palloc(whole->pool, whole->room);
        memcpy(larger, whole->bytes, whole->length);
        whole->bytes = larger;
    }
    memcpy(whole->bytes + whole->length, bytes, size);
    whole->length += size;
    return NULL;
}

const sf_error *sf_body_read(request_rec *r, apr_off_t limit, char **bytes, apr_size_t *length)
{
    buffer whole = { r->pool, apr_palloc(r->pool, READ_SIZE), 0, READ_SIZE };
    const sf_error *error = sf_body_stream(r, limit, append_bytes, &whole);

    whole.bytes[whole.length] = '\0';
    *bytes = whole.bytes;
    *length = whole.length;
    return error;
}
