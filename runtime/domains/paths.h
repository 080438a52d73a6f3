/* What a Build serves: its Versions by their paths. A Build never changes, so a child keeps the paths of
 * the Builds that it used last, without asking again, in a bounded number of bytes. */
#ifndef SF_PATHS_H
#define SF_PATHS_H

#include "core/caller.h"
#include "runtime/domains/domain.h"

/* Makes the child's cache. Called from child_init. Returns APR_SUCCESS or the error of a pool or
 * mutex. */
apr_status_t sf_paths_init(apr_pool_t *pool);

/* Finds the Version that the route's Build serves at a path: the one with exactly that path; for "/",
 * else the public Asset /assets/index.html. `file` and its texts live as long as the caller's pool.
 *
 * Returns OK; HTTP_NOT_FOUND; SF_DOMAIN_GONE where the Build or one of its Versions was deleted; or
 * HTTP_SERVICE_UNAVAILABLE where the database does not answer. */
int sf_paths_find(const sf_caller *caller, const sf_route *route, const char *path,
                  const sf_build_file **file);

#endif
