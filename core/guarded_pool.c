#include "core/guarded_pool.h"

#include <apr_allocator.h>

apr_status_t sf_guarded_pool_make(apr_pool_t *parent, apr_thread_mutex_t **mutex, apr_pool_t **pool)
{
    apr_allocator_t *allocator;
    apr_status_t rv = apr_thread_mutex_create(mutex, APR_THREAD_MUTEX_DEFAULT, parent);

    if (rv == APR_SUCCESS) {
        rv = apr_allocator_create(&allocator);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_pool_create_ex(pool, parent, NULL, allocator);
    }
    if (rv == APR_SUCCESS) {
        apr_allocator_owner_set(allocator, *pool);
    }
    return rv;
}
