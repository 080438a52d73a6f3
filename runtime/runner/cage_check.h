/* The check that a cage can be had on this machine, at the levels of the configuration. */
#ifndef SF_CAGE_CHECK_H
#define SF_CAGE_CHECK_H

#include "runtime/runner/cage.h"

/* Runs each Runtime in the cage, with a network if egress is filtered, and notes how much memory its node needs beside an isolate's
 * own. Returns NULL, or why that is not possible and how to make it possible: the runner does not start then. */
const char *sf_cage_check(apr_pool_t *pool, const sf_cage *cage, const sf_runner_config *config);

#endif
