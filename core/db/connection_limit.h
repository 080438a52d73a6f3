/* How many requests of a child may hold a database connection at once. mod_dbd's own pool waits for
 * a connection without a limit (apr_reslist_acquire, its timeout is never set); whoever passes this
 * gate first never waits there. */
#ifndef SF_DB_CONNECTION_LIMIT_H
#define SF_DB_CONNECTION_LIMIT_H

#include <apr_errno.h>
#include <apr_pools.h>
#include <apr_time.h>

/* Makes the child's gate. Called from child_init. */
apr_status_t sf_gate_init(apr_pool_t *pool, int places);

/* Waits at most `timeout` microseconds for a place: APR_SUCCESS, APR_TIMEUP, or APR_EINIT where there
 * is no gate. Only half of the places are given `for_long`, so that some long statements do not stop
 * all others. */
apr_status_t sf_gate_enter(apr_interval_time_t timeout, int for_long);

/* Whether there is a place now; somebody else may take it. */
int sf_gate_has_place(void);

/* How many places are taken now. */
int sf_gate_taken(void);

/* Gives the place back, taken for long or not. */
void sf_gate_leave(int for_long);

#endif
