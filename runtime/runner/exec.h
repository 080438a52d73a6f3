/* The runner's option --exec: runs a program the way that an isolate is run, for administrators and tests. */
#ifndef SF_EXEC_H
#define SF_EXEC_H

#include "runtime/runner/cage.h"

/* Runs the program, with arguments that end with NULL, in a cage with an empty Build, and copies its output and errors to
 * standard output. Its input is empty. Returns its exit status; 128 and the signal's number if one ended it; 1, with a message
 * on standard error, if it could not be started. */
int sf_exec(apr_pool_t *pool, const sf_cage *cage, const sf_runner_config *config,
            const char *const *program);

#endif
