/* The spool of an upload: one chunk in memory, the chunks before it in a temporary file without
 * a name. */
#ifndef SF_SPOOL_H
#define SF_SPOOL_H

#include "core/crypto/sha256.h"
#include "core/storage/chunk.h"

#include <apr_file_io.h>
#include <apr_pools.h>

#define SF_SPOOL_NO_HASH APR_OS_START_USERERR

typedef struct {
    apr_pool_t *pool;
    apr_off_t limit;
    apr_off_t size;
    char *chunk;       /* the chunk that is being filled, or was read last */
    apr_size_t filled; /* bytes in `chunk` */
    apr_file_t *file;  /* the chunks before `chunk`, or NULL */
    sf_sha256 hash;
    char sha256[SF_SHA256_HEX + 1]; /* once sf_spool_finish() has succeeded */
} sf_spool;

/* Makes an empty spool for at most `limit` bytes, which lives as long as the pool. */
sf_spool *sf_spool_make(apr_pool_t *pool, apr_off_t limit);

/* Adds bytes. Returns APR_SUCCESS, APR_ENOSPC above the limit, or the error of writing the file. */
apr_status_t sf_spool_write(sf_spool *spool, const char *bytes, apr_size_t size);

/* Ends the writing: sets `sha256`, and makes the chunks readable. Returns APR_SUCCESS,
 * SF_SPOOL_NO_HASH where OpenSSL has failed, or the error of writing the file. */
apr_status_t sf_spool_finish(sf_spool *spool);

/* Returns the number of chunks. An empty upload has one chunk, which is empty. */
int sf_spool_chunks(const sf_spool *spool);

/* Reads chunk `number` (from 0). Returns it in base64, allocated from `scratch`, or NULL where
 * the file cannot be read. */
const char *sf_spool_chunk(sf_spool *spool, int number, apr_pool_t *scratch);

#endif
