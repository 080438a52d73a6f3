#include "core/crypto/sha256.h"

#include <apr_escape.h>
#include <openssl/err.h>

static apr_status_t free_context(void *context)
{
    EVP_MD_CTX_free(context);
    return APR_SUCCESS;
}

static void free_hash(sf_sha256 *hash)
{
    if (hash->context) {
        apr_pool_cleanup_run(hash->pool, hash->context, free_context);
        hash->context = NULL;
    }
}

/* Marks the hash as failed, and clears the error queue of the thread, which mod_ssl would find. */
static void fail_hash(sf_sha256 *hash)
{
    free_hash(hash);
    ERR_clear_error();
}

void sf_sha256_begin(sf_sha256 *hash, apr_pool_t *pool)
{
    hash->pool = pool;
    hash->context = EVP_MD_CTX_new();
    if (hash->context) {
        apr_pool_cleanup_register(pool, hash->context, free_context, apr_pool_cleanup_null);
    }
    if (!hash->context || EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) != 1) {
        fail_hash(hash);
    }
}

void sf_sha256_add(sf_sha256 *hash, const void *bytes, apr_size_t size)
{
    if (hash->context && EVP_DigestUpdate(hash->context, bytes, size) != 1) {
        fail_hash(hash);
    }
}

int sf_sha256_end(sf_sha256 *hash, char hex[SF_SHA256_HEX + 1])
{
    unsigned char digest[EVP_MAX_MD_SIZE];

    if (!hash->context || EVP_DigestFinal_ex(hash->context, digest, NULL) != 1) {
        fail_hash(hash);
        return 0;
    }
    free_hash(hash);
    apr_escape_hex(hex, digest, SF_SHA256_BYTES, 0, NULL);
    return 1;
}
