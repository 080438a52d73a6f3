/* The Build worker: a background task that finishes Builds. Nodes share the Builds
 * by leases in the database (sql/schema/008_build_work.sql); worker/README.md has their states. */
#ifndef SF_BUILD_WORKER_H
#define SF_BUILD_WORKER_H

#include <httpd.h>

/* Registers the worker. Called from post_config, after sf_background_init(). */
void sf_build_worker_register(apr_pool_t *pconf, server_rec *s);

/* Makes the node's worker look for a Build at its next tenth of a second. Called when a
 * request of any child has created one. */
void sf_build_worker_wake(void);

#endif
