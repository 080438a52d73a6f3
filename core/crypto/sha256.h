/* The SHA-256 of what comes piece by piece. */
#ifndef SF_SHA256_H
#define SF_SHA256_H

#include "core/caller.h"
#include "core/error.h"

#include <openssl/evp.h>

#define SF_SHA256_BYTES 32
#define SF_SHA256_HEX 64

typedef struct {
    apr_pool_t *pool;
    EVP_MD_CTX
    *context; /* NULL once OpenSSL has failed: what else comes is ignored, and the end tells */
} sf_sha256;

/* Begins a hash, which goes with the pool. */
void sf_sha256_begin(sf_sha256 *hash, apr_pool_t *pool);

void sf_sha256_add(sf_sha256 *hash, const void *bytes, apr_size_t size);

/* Ends it: 1 with the hash in lower-case hex, or 0 where OpenSSL has failed, which the caller is not to
 * take for a hash. */
int sf_sha256_end(sf_sha256 *hash, char hex[SF_SHA256_HEX + 1]);

/* The error for a hash that could not be made: 500, and a line in the log. */
const sf_error *sf_sha256_failed(const sf_caller *caller);

#endif
