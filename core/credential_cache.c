#include "core/credential_cache.h"

#include "core/sid.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <openssl/crypto.h>
#include <string.h>

/* More credentials than a child is likely to meet; once there are as many, it begins anew. */
#define ENTRIES_MAX 1024

#define GENERATION_LENGTH 11 /* an int as text */

/* The same SID in two databases is not the same credential: one may be a copy of the other. */
typedef struct {
    int database;
    char credential[SF_SID_LENGTH];
} key;

typedef struct {
    key key;
    char generation[GENERATION_LENGTH + 1];
    unsigned char digest[SF_SHA256_BYTES];
} entry;

static struct {
    apr_thread_mutex_t *mutex;
    apr_pool_t *pool; /* of the entries */
    apr_hash_t *entries;
} cache;

apr_status_t sf_credential_cache_init(apr_pool_t *pool)
{
    apr_status_t rv = apr_pool_create(&cache.pool, pool);

    if (rv == APR_SUCCESS) {
        cache.entries = apr_hash_make(cache.pool);
        rv = apr_thread_mutex_create(&cache.mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    }
    return rv;
}

static key key_of(int database, const char *credential)
{
    key key;

    memset(&key, 0, sizeof(key)); /* its padding, too: it is hashed whole */
    key.database = database;
    memcpy(key.credential, credential, SF_SID_LENGTH);
    return key;
}

const char *sf_credential_cache_find(apr_pool_t *pool, int database, const char *credential,
                                     const unsigned char digest[SF_SHA256_BYTES])
{
    const key wanted = key_of(database, credential);
    const char *generation = NULL;
    const entry *found;

    if (!cache.mutex) {
        return NULL; /* the error log has said why */
    }
    apr_thread_mutex_lock(cache.mutex);
    found = apr_hash_get(cache.entries, &wanted, sizeof(wanted));
    if (found && CRYPTO_memcmp(found->digest, digest, SF_SHA256_BYTES) == 0) {
        generation = apr_pstrdup(pool, found->generation);
    }
    apr_thread_mutex_unlock(cache.mutex);
    return generation;
}

/* The entry to be written, a new one where the credential has none. */
static entry *entry_for(const key *wanted)
{
    entry *kept = apr_hash_get(cache.entries, wanted, sizeof(*wanted));

    if (kept) {
        return kept;
    }
    if (apr_hash_count(cache.entries) >= ENTRIES_MAX) {
        apr_pool_clear(cache.pool);
        cache.entries = apr_hash_make(cache.pool);
    }
    kept = apr_pcalloc(cache.pool, sizeof(*kept));
    kept->key = *wanted;
    apr_hash_set(cache.entries, &kept->key, sizeof(kept->key), kept);
    return kept;
}

void sf_credential_cache_keep(int database, const char *credential,
                              const unsigned char digest[SF_SHA256_BYTES], const char *generation)
{
    const key wanted = key_of(database, credential);
    entry *kept;

    if (!cache.mutex) {
        return;
    }
    apr_thread_mutex_lock(cache.mutex);
    kept = entry_for(&wanted);
    memcpy(kept->digest, digest, SF_SHA256_BYTES);
    apr_cpystrn(kept->generation, generation, sizeof(kept->generation));
    apr_thread_mutex_unlock(cache.mutex);
}
