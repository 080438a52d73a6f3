/* An upload on its way to the database: one chunk of it in memory, the rest in a temporary file that
 * has no name any more. */
#ifndef SF_SPOOL_H
#define SF_SPOOL_H

#include "core/crypto/sha256.h"

#include <apr_file_io.h>
#include <apr_pools.h>

#define SF_CHUNK_BYTES (256 * 1024) /* the database takes no others */

#define SF_SPOOL_NO_HASH APR_OS_START_USERERR

typedef struct {
    apr_pool_t *pool;
    apr_off_t limit;
    apr_off_t size;
    char *chunk; /* the one being filled, or last read */
    apr_size_t filled;
    apr_file_t *file; /* the chunks before it, or NULL */
    sf_sha256 hash;
    char sha256[SF_SHA256_HEX + 1]; /* once sf_spool_finish() has succeeded */
} sf_spool;

/* An empty spool for at most `limit` bytes, which goes with the pool. */
sf_spool *sf_spool_make(apr_pool_t *pool, apr_off_t limit);

/* Adds bytes. APR_SUCCESS, APR_ENOSPC above the limit, or what writing the file failed with. */
apr_status_t sf_spool_write(sf_spool *spool, const char *bytes, apr_size_t size);

/* Ends the upload: its hash is known then, and it can be read. APR_SUCCESS, SF_SPOOL_NO_HASH where
 * OpenSSL has failed, or what writing the file failed with. */
apr_status_t sf_spool_finish(sf_spool *spool);

/* How many chunks it has; an empty one has one. */
int sf_spool_chunks(const sf_spool *spool);

/* Reads chunk `number` (from 0) and returns it in base64, which `scratch` holds, or NULL where the
 * file cannot be read. */
const char *sf_spool_chunk(sf_spool *spool, int number, apr_pool_t *scratch);

#endif
