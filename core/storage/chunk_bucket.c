#include "core/storage/chunk_bucket.h"

#include "core/log.h"

#include <apr_encode.h>
#include <apr_strings.h>
#include <http_log.h>
#include <string.h>

typedef struct chunk chunk;

/* The content of one response. */
typedef struct {
    sf_caller caller;
    sf_stored_content stored;
    chunk *latest; /* the one that was fetched last, and may have bytes; or NULL */
} content;

/* One chunk, shared by the buckets that stand for parts of it. */
struct chunk {
    apr_bucket_refcount refcount;
    content *of;
    int number;      /* from 0 */
    char *bytes;     /* allocated as a heap bucket's, or NULL: not fetched */
    apr_size_t size; /* of `bytes` */
};

/* Reads the chunk's bytes from the database. Returns APR_SUCCESS; APR_ENOENT where the database does
 * not have the chunk; or APR_EGENERAL. */
static apr_status_t fetch_chunk(chunk *part, apr_pool_t *pool, apr_bucket_alloc_t *alloc)
{
    const sf_caller caller = { pool, part->of->caller.server, part->of->caller.r };
    const sf_error *error;
    const char *hex;

    error = sf_chunk_fetch(&caller, &part->of->stored, part->number, &hex);
    if (error) {
        return error->status == HTTP_NOT_FOUND ? APR_ENOENT : APR_EGENERAL;
    }
    part->bytes = apr_bucket_alloc(strlen(hex) / 2 + 1, alloc);
    apr_decode_base16_binary((unsigned char *)part->bytes, hex, APR_ENCODE_STRING, APR_ENCODE_NONE,
                             &part->size);
    return APR_SUCCESS;
}

/* Frees the bytes of the chunk that was fetched last. No bucket points to them. */
static void free_latest(content *of)
{
    if (of->latest && of->latest->bytes) {
        apr_bucket_free(of->latest->bytes);
        of->latest->bytes = NULL;
    }
    of->latest = NULL;
}

/* Fetches the chunk, unless a bucket of another part of it has done so, and frees the chunk before.
 * httpd keeps a brigade of all of the content until the last range is sent: without that, all chunks
 * would be in memory. Returns as fetch_chunk(). */
static apr_status_t need_chunk(chunk *part, apr_bucket_alloc_t *alloc)
{
    apr_status_t rv = APR_SUCCESS;
    apr_pool_t *scratch;

    if (!part->bytes) {
        free_latest(part->of);
        apr_pool_create(&scratch, part->of->caller.pool);
        rv = fetch_chunk(part, scratch, alloc);
        apr_pool_destroy(scratch);
        part->of->latest = part;
    }
    return rv;
}

/* Drops a reference, and the chunk's bytes with the last one. The struct is the request's. */
static void destroy_chunk(void *data)
{
    chunk *part = data;

    if (apr_bucket_shared_destroy(part) && part->bytes) {
        free_latest(part->of);
    }
}

/* Fails the response: its head has been sent, and the rest of its body cannot be had. Closing the
 * connection shows that to the client even where a filter has removed Content-Length. Damaged content
 * has a log line for each response; a database that cannot be read, one for many. */
static apr_status_t break_off(const chunk *part, apr_status_t rv)
{
    const sf_caller *caller = &part->of->caller;
    static const char text[] = "content breaks off: its chunk %d cannot be read";

    if (rv == APR_ENOENT) {
        sf_log(caller, APLOG_ERR, "SF0040", text, part->number);
    }
    else {
        sf_log_limited(caller, APLOG_ERR, "SF0040", text, part->number);
    }
    caller->r->connection->keepalive = AP_CONN_CLOSE;
    return rv;
}

/* Reads the bucket: turns it into a heap bucket of the part of the chunk that it stands for. The
 * whole chunk is handed over to its only bucket. A part is copied, so that the memory of the chunk
 * can be freed after its last part was read, however slowly the client takes the parts. */
static apr_status_t read_chunk(apr_bucket *b, const char **data, apr_size_t *length,
                               apr_read_type_e block)
{
    chunk *part = b->data;
    const apr_size_t start = (apr_size_t)b->start;
    const apr_size_t wanted = b->length;
    const apr_status_t rv = need_chunk(part, b->list);

    if (rv != APR_SUCCESS || part->size < start + wanted) {
        return break_off(part, rv != APR_SUCCESS ? rv : APR_ENOENT);
    }
    if (wanted == part->size && part->refcount.refcount == 1) {
        apr_bucket_heap_make(b, part->bytes, wanted, apr_bucket_free);
        part->bytes = NULL;
    }
    else {
        apr_bucket_heap_make(b, part->bytes + start, wanted, NULL);
    }
    destroy_chunk(part);
    return apr_bucket_read(b, data, length, block);
}

/* Setting aside is nothing: the request outlives its response. */
static const apr_bucket_type_t chunk_type = { "SF_CHUNK",
                                              5,
                                              APR_BUCKET_DATA,
                                              destroy_chunk,
                                              read_chunk,
                                              apr_bucket_setaside_noop,
                                              apr_bucket_shared_split,
                                              apr_bucket_shared_copy };

static apr_bucket *make_bucket(content *of, int number)
{
    apr_bucket_alloc_t *alloc = of->caller.r->connection->bucket_alloc;
    apr_bucket *b = apr_bucket_alloc(sizeof(*b), alloc);
    chunk *part = apr_pcalloc(of->caller.pool, sizeof(*part));

    part->of = of;
    part->number = number;
    APR_BUCKET_INIT(b);
    b->free = apr_bucket_free;
    b->list = alloc;
    b->type = &chunk_type;
    return apr_bucket_shared_make(b, part, 0, sf_chunk_length(&of->stored, number));
}

void sf_chunk_buckets_append(apr_bucket_brigade *brigade, const sf_caller *caller,
                             const sf_stored_content *stored)
{
    content *of = apr_pcalloc(caller->pool, sizeof(*of));
    const int count = sf_chunk_count(stored);
    int number;

    of->caller = *caller;
    of->stored = *stored;

    for (number = 0; number < count; number++) {
        APR_BRIGADE_INSERT_TAIL(brigade, make_bucket(of, number));
    }
}
