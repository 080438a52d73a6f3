#include "core/cache.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <string.h>

struct sf_cache {
    apr_size_t key_size;
    apr_size_t value_size;
    unsigned int entries_max;
    apr_thread_mutex_t *mutex;
    apr_pool_t *pool; /* of the entries; cleared where they are too many */
    apr_hash_t *entries;
};

/* Overwrites all values: they may be secrets. */
static apr_status_t wipe_values(void *data)
{
    sf_cache *cache = data;
    apr_hash_index_t *entry;

    for (entry = apr_hash_first(NULL, cache->entries); entry; entry = apr_hash_next(entry)) {
        explicit_bzero(apr_hash_this_val(entry), cache->value_size);
    }
    return APR_SUCCESS;
}

/* Makes an empty table in the cache's pool, which is empty. */
static void make_entries(sf_cache *cache)
{
    cache->entries = apr_hash_make(cache->pool);
    apr_pool_cleanup_register(cache->pool, cache, wipe_values, apr_pool_cleanup_null);
}

apr_status_t sf_cache_make(apr_pool_t *pool, apr_size_t key_size, apr_size_t value_size,
                           unsigned int entries, sf_cache **cache)
{
    sf_cache *made = apr_pcalloc(pool, sizeof(*made));
    apr_status_t rv = apr_pool_create(&made->pool, pool);

    made->key_size = key_size;
    made->value_size = value_size;
    made->entries_max = entries;
    if (rv == APR_SUCCESS) {
        make_entries(made);
        rv = apr_thread_mutex_create(&made->mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    }
    *cache = rv == APR_SUCCESS ? made : NULL;
    return rv;
}

int sf_cache_find(sf_cache *cache, const void *key, void *value)
{
    const void *found;

    if (!cache) {
        return 0;
    }
    apr_thread_mutex_lock(cache->mutex);
    found = apr_hash_get(cache->entries, key, (apr_ssize_t)cache->key_size);
    if (found) {
        memcpy(value, found, cache->value_size);
    }
    apr_thread_mutex_unlock(cache->mutex);
    return found != NULL;
}

/* Returns the value of a key to be written, a new one where the key has none. Called with the
 * mutex held. */
static void *writable_value(sf_cache *cache, const void *key)
{
    void *value = apr_hash_get(cache->entries, key, (apr_ssize_t)cache->key_size);

    if (value) {
        return value;
    }
    if (apr_hash_count(cache->entries) >= cache->entries_max) {
        apr_pool_clear(cache->pool);
        make_entries(cache);
    }
    value = apr_palloc(cache->pool, cache->value_size);
    apr_hash_set(cache->entries, apr_pmemdup(cache->pool, key, cache->key_size),
                 (apr_ssize_t)cache->key_size, value);
    return value;
}

void sf_cache_keep(sf_cache *cache, const void *key, const void *value)
{
    if (!cache) {
        return;
    }
    apr_thread_mutex_lock(cache->mutex);
    memcpy(writable_value(cache, key), value, cache->value_size);
    apr_thread_mutex_unlock(cache->mutex);
}
