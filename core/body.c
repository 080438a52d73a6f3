#include "core/body.h"

#include <apr_buckets.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>
#include <util_filter.h>

/* How much is asked for at a time, in bytes. */
#define READ_SIZE 8192

static const sf_error *refuse(request_rec *r, int status)
{
    r->connection->keepalive = AP_CONN_CLOSE; /* the rest of the body is not waited for */
    return sf_error_of_status(r->pool, status);
}

typedef struct {
    request_rec *r;
    apr_size_t limit;
    char *bytes;
    apr_size_t length;
    apr_size_t room;
    int ended;
} body_buffer;

static void append(body_buffer *body, const char *data, apr_size_t size)
{
    if (body->length + size + 1 > body->room) { /* one for the NUL */
        char *larger;

        body->room = 2 * (body->length + size) + 1;
        larger = apr_palloc(body->r->pool, body->room);
        memcpy(larger, body->bytes, body->length);
        body->bytes = larger;
    }
    memcpy(body->bytes + body->length, data, size);
    body->length += size;
}

/* Takes what one bucket holds. */
static const sf_error *take(body_buffer *body, apr_bucket *bucket)
{
    const char *data;
    apr_size_t size;
    apr_status_t rv;

    if (APR_BUCKET_IS_METADATA(bucket)) {
        body->ended |= APR_BUCKET_IS_EOS(bucket);
        return NULL;
    }
    rv = apr_bucket_read(bucket, &data, &size, APR_BLOCK_READ);
    if (rv != APR_SUCCESS) {
        return refuse(body->r, ap_map_http_request_error(rv, HTTP_BAD_REQUEST));
    }
    if (size > body->limit - body->length) {
        return refuse(body->r, HTTP_REQUEST_ENTITY_TOO_LARGE);
    }
    append(body, data, size);
    return NULL;
}

/* Takes what has arrived, or waits for more. */
static const sf_error *receive(body_buffer *body, apr_bucket_brigade *received)
{
    const sf_error *error = NULL;
    apr_bucket *bucket;
    apr_status_t rv = ap_get_brigade(body->r->input_filters, received, AP_MODE_READBYTES,
                                     APR_BLOCK_READ, READ_SIZE);

    if (rv != APR_SUCCESS) {
        return refuse(body->r, ap_map_http_request_error(rv, HTTP_BAD_REQUEST));
    }
    for (bucket = APR_BRIGADE_FIRST(received);
         bucket != APR_BRIGADE_SENTINEL(received) && !body->ended && !error;
         bucket = APR_BUCKET_NEXT(bucket)) {
        error = take(body, bucket);
    }
    apr_brigade_cleanup(received);
    return error;
}

const sf_error *sf_body_read(request_rec *r, apr_off_t limit, char **bytes, apr_size_t *length)
{
    apr_bucket_brigade *received = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    body_buffer body = {r, (apr_size_t)limit, apr_palloc(r->pool, READ_SIZE), 0, READ_SIZE, 0};

    while (!body.ended) {
        const sf_error *error = receive(&body, received);

        if (error) {
            return error;
        }
    }
    body.bytes[body.length] = '\0';
    *bytes = body.bytes;
    *length = body.length;
    return NULL;
}
