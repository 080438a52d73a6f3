/* Finishes Builds in the background, in httpd's children by mod_watchdog. Children and nodes share the
 * work by leases in the database (sql/schema/008_build_work.sql). */
#ifndef SF_BUILD_WORKER_H
#define SF_BUILD_WORKER_H

#include <httpd.h>

/* Registers the worker. Called from post_config; returns APR_SUCCESS or why that failed. */
apr_status_t sf_build_worker_register(apr_pool_t *pconf, server_rec *s);

/* Says that there is a Build to do, so that this child need not wait for its next look. */
void sf_build_worker_wake(void);

#endif
