/* A counting semaphore: it limits how many requests of a child hold a connection of mod_dbd's pool
 * at once. mod_dbd's own pool waits for a connection without a limit (the timeout of its
 * apr_reslist_acquire is never set); a thread that holds a permit finds a free connection there and
 * never waits. */
#ifndef SF_DB_CONNECTION_LIMIT_H
#define SF_DB_CONNECTION_LIMIT_H

#include <apr_errno.h>
#include <apr_pools.h>
#include <apr_time.h>

/* Makes the child's semaphore with this many permits. Called from child_init. Returns APR_SUCCESS
 * or the error of the mutex or of a condition variable. */
apr_status_t sf_connection_limit_init(apr_pool_t *pool, int permits);

/* Takes a permit, and waits for it at most `timeout` microseconds. `long_running` is 1 for a
 * statement of the kind "long write": these get half of the permits at most, so that they cannot
 * stop all others. `waited` is how long the caller had to wait. Returns APR_SUCCESS, APR_TIMEUP, or APR_EINIT where sf_connection_limit_init()
 * has failed. */
apr_status_t sf_connection_limit_acquire(apr_interval_time_t timeout, int long_running,
                                         apr_interval_time_t *waited);

/* Gives back a permit. `long_running` is the value with which it was acquired. */
void sf_connection_limit_release(int long_running);

/* Returns 1 where a permit is free at this moment; another thread may take it before the caller
 * does. */
int sf_connection_limit_is_available(void);

/* Returns how many permits are in use at this moment. */
int sf_connection_limit_in_use(void);

#endif
