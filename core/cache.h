/* What a child remembers: values of a fixed size by keys of a fixed size, a limited number of them.
 * Once there are as many, it begins anew. Any thread may use one. NULL is one that could not be made:
 * it keeps nothing. */
#ifndef SF_CACHE_H
#define SF_CACHE_H

#include <apr_errno.h>
#include <apr_pools.h>

typedef struct sf_cache sf_cache;

/* Makes a cache that lives as long as `pool`, for `entries` values of `value_size` bytes by keys of
 * `key_size` bytes. Keys are compared as bytes: whoever makes one has its padding set to 0. */
apr_status_t sf_cache_make(apr_pool_t *pool, apr_size_t key_size, apr_size_t value_size,
                           unsigned int entries, sf_cache **cache);

/* Copies the value kept by this key to `value`. Returns 0 where there is none. */
int sf_cache_find(sf_cache *cache, const void *key, void *value);

/* Keeps a value, in place of the one that was kept by the same key. */
void sf_cache_keep(sf_cache *cache, const void *key, const void *value);

#endif
