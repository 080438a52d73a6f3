/* The SHA-256 of bytes that come in pieces. */
#ifndef SF_SHA256_H
#define SF_SHA256_H

#include <apr_pools.h>
#include <openssl/evp.h>

#define SF_SHA256_BYTES 32
#define SF_SHA256_HEX 64

typedef struct {
    apr_pool_t *pool;
    EVP_MD_CTX *context; /* NULL once OpenSSL has failed: sf_sha256_end() reports that */
} sf_sha256;

/* Begins a hash, which lives as long as the pool. */
void sf_sha256_begin(sf_sha256 *hash, apr_pool_t *pool);

/* Adds bytes. */
void sf_sha256_add(sf_sha256 *hash, const void *bytes, apr_size_t size);

/* Ends the hash. Returns 1 with the hash in lower-case hex, or 0 where OpenSSL has failed; `hex`
 * is unset then. */
int sf_sha256_end(sf_sha256 *hash, char hex[SF_SHA256_HEX + 1]);

#endif
