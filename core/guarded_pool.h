/* A pool for what the threads of a child share, with the mutex that guards it. */
#ifndef SF_GUARDED_POOL_H
#define SF_GUARDED_POOL_H

#include <apr_pools.h>
#include <apr_thread_mutex.h>

/* Makes a mutex, and a pool with an allocator of its own, so that the mutex alone guards both. They live as long as
 * `parent`. Returns APR_SUCCESS or the error of one of them. */
apr_status_t sf_guarded_pool_make(apr_pool_t *parent, apr_thread_mutex_t **mutex,
                                  apr_pool_t **pool);

#endif
