/* Finishes Builds in the background, in httpd's children by mod_watchdog. Children and nodes share the
 * work by leases in the database (sql/schema/008_build_work.sql). */
#ifndef SF_BUILD_WORKER_H
#define SF_BUILD_WORKER_H

#include <httpd.h>

/* Registers the worker. Called from post_config; returns APR_SUCCESS or why that failed. */
apr_status_t sf_build_worker_register(apr_pool_t *pconf, server_rec *s);

/* Makes what the worker needs in a child. Called from child_init. */
apr_status_t sf_build_worker_child_init(apr_pool_t *pool);

/* Gives back the Build that this child has in hand, so that another can take it at once. Hook
 * child_stopping: httpd does not wait for the worker's thread. */
void sf_build_worker_stop(apr_pool_t *pool, int graceful);

/* Says that there is a Build to do, so that this child need not wait for its next look. */
void sf_build_worker_wake(void);

#endif
