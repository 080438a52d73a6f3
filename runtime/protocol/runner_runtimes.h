/* The Runtimes that the runner of this machine offers. */
#ifndef SF_RUNNER_RUNTIMES_H
#define SF_RUNNER_RUNTIMES_H

#include <apr_tables.h>

/* Asks the runner at a control socket for its Runtimes. Waits for a second at most. Returns their names, as
 * const char *, or NULL where the runner is away or does not answer. */
apr_array_header_t *sf_runner_runtimes(apr_pool_t *pool, const char *path);

#endif
