/* The thread of a child that hears the runner: gives its lines to calls that wait, and looks after lines without
 * calls. */
#ifndef SF_LEASE_THREAD_H
#define SF_LEASE_THREAD_H

#include <apr_errno.h>
#include <apr_pools.h>

/* Starts the thread, unless it runs already. Called with the mutex of lease_table.h held. Returns APR_SUCCESS or
 * the error of the system. */
apr_status_t sf_lease_thread_start(void);

/* Makes what the thread needs. Called from child_init, with the child's pool: as that is destroyed, which is after
 * the last call (child_stopping is before it in event), the thread returns all lines and ends. */
apr_status_t sf_lease_thread_init(apr_pool_t *pool);

/* Has the thread look at the table again. Called after a connection was opened, and where a call waits for an
 * isolate that has not said IDLE. */
void sf_lease_thread_wake(void);

/* Whether the thread is to end. */
int sf_lease_thread_is_stopping(void);

#endif
