/* A cache of a child: a limited number of values of a fixed size, by keys of a fixed size. A
 * full cache is emptied. Values may be secrets: they are overwritten before their memory is freed.
 * Threads may share a cache. NULL is a cache that keeps nothing, as where making one has failed. */
#ifndef SF_CACHE_H
#define SF_CACHE_H

#include <apr_errno.h>
#include <apr_pools.h>

typedef struct sf_cache sf_cache;

/* Makes a cache for `entries` values of `value_size` bytes by keys of `key_size` bytes, which
 * lives as long as `pool`. Keys are compared as bytes, padding included, which has to be 0.
 * Returns APR_SUCCESS, or the error of a pool or mutex with NULL in `cache`. */
apr_status_t sf_cache_make(apr_pool_t *pool, apr_size_t key_size, apr_size_t value_size,
                           unsigned int entries, sf_cache **cache);

/* Copies the value of a key to `value`. Returns 0 where there is none. */
int sf_cache_find(sf_cache *cache, const void *key, void *value);

/* Sets the value of a key. */
void sf_cache_keep(sf_cache *cache, const void *key, const void *value);

#endif
