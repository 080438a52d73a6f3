#include "core/storage/spool.h"

#include <apr_encode.h>
#include <apr_strings.h>
#include <httpd.h>
#include <string.h>

sf_spool *sf_spool_make(apr_pool_t *pool, apr_off_t limit)
{
    sf_spool *spool = apr_pcalloc(pool, sizeof(*spool));

    spool->pool = pool;
    spool->limit = limit;
    spool->chunk = apr_palloc(pool, SF_CHUNK_BYTES);
    sf_sha256_begin(&spool->hash, pool);
    return spool;
}

/* Opens a temporary file and removes its name: nothing stays behind, even where the process is
 * killed. */
static apr_status_t open_file(sf_spool *spool)
{
    const char *directory;
    char *name;
    apr_status_t rv = apr_temp_dir_get(&directory, spool->pool);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    name = apr_pstrcat(spool->pool, directory, "/serverless.XXXXXX", NULL);
    rv = apr_file_mktemp(&spool->file, name,
                         APR_FOPEN_CREATE | APR_FOPEN_READ | APR_FOPEN_WRITE | APR_FOPEN_EXCL
                             | APR_FOPEN_BINARY,
                         spool->pool);
    return rv == APR_SUCCESS ? apr_file_remove(name, spool->pool) : rv;
}

/* Moves a full chunk from memory to the file. */
static apr_status_t flush(sf_spool *spool)
{
    apr_status_t rv = spool->file ? APR_SUCCESS : open_file(spool);

    if (rv == APR_SUCCESS) {
        rv = apr_file_write_full(spool->file, spool->chunk, spool->filled, NULL);
    }
    spool->filled = 0;
    return rv;
}

apr_status_t sf_spool_write(sf_spool *spool, const char *bytes, apr_size_t size)
{
    if ((apr_off_t)size > spool->limit - spool->size) {
        return APR_ENOSPC;
    }
    sf_sha256_add(&spool->hash, bytes, size);
    spool->size += (apr_off_t)size;
    while (size > 0) {
        apr_size_t fits = SF_CHUNK_BYTES - spool->filled;

        if (fits == 0) {
            apr_status_t rv = flush(spool);

            if (rv != APR_SUCCESS) {
                return rv;
            }
            continue;
        }
        fits = size < fits ? size : fits;
        memcpy(spool->chunk + spool->filled, bytes, fits);
        spool->filled += fits;
        bytes += fits;
        size -= fits;
    }
    return APR_SUCCESS;
}

apr_status_t sf_spool_finish(sf_spool *spool)
{
    if (!sf_sha256_end(&spool->hash, spool->sha256)) {
        return SF_SPOOL_NO_HASH;
    }
    return spool->file ? flush(spool) : APR_SUCCESS;
}

int sf_spool_chunks(const sf_spool *spool)
{
    return spool->size == 0 ? 1 : (int)((spool->size + SF_CHUNK_BYTES - 1) / SF_CHUNK_BYTES);
}

const char *sf_spool_chunk(sf_spool *spool, int number, apr_pool_t *scratch)
{
    apr_off_t offset = (apr_off_t)number * SF_CHUNK_BYTES;
    apr_size_t size = (apr_size_t)(spool->size - offset < SF_CHUNK_BYTES ? spool->size - offset
                                                                         : SF_CHUNK_BYTES);

    if (spool->file
        && (apr_file_seek(spool->file, APR_SET, &offset) != APR_SUCCESS
            || apr_file_read_full(spool->file, spool->chunk, size, NULL) != APR_SUCCESS)) {
        return NULL;
    }
    return apr_pencode_base64_binary(scratch, (const unsigned char *)spool->chunk,
                                     (apr_ssize_t)size, APR_ENCODE_NONE, NULL);
}
