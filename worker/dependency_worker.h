/* The worker of Dependencies: a task of the background child, which has the Dependencies of Builds resolved and
 * finishes these Builds, while the workers of Builds go on. */
#ifndef SF_DEPENDENCY_WORKER_H
#define SF_DEPENDENCY_WORKER_H

#include "worker/claimed_build.h"

/* Registers the task. Called from post_config. */
void sf_dependency_worker_register(apr_pool_t *pconf, server_rec *s);

/* Makes the child's list of Builds. Called from child_init. Returns APR_SUCCESS or the error of the mutex. */
apr_status_t sf_dependency_worker_child_init(apr_pool_t *pool);

/* Leaves a Build, with its lease, to the worker. */
void sf_dependency_worker_add(const sf_claimed_build *build);

#endif
