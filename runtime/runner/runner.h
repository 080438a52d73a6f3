/* The runner: its parts, and its event loop. */
#ifndef SF_RUNNER_H
#define SF_RUNNER_H

#include "runtime/runner/cage.h"
#include "runtime/runner/config.h"

/* Runs until a signal ends it. The cage is that of the configuration, and was checked. `arguments` are those of the program, for a new runner that takes over; the first
 * is the program's path. Returns NULL, or why the runner could not be started. */
const char *sf_runner_run(apr_pool_t *pool, const sf_runner_config *config, const sf_cage *cage,
                          char *const *arguments);

#endif
