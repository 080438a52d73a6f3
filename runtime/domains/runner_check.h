/* Whether the runner answers: for the readiness of the node, and the notice of its start. */
#ifndef SF_RUNNER_CHECK_H
#define SF_RUNNER_CHECK_H

#include <apr_errno.h>
#include <apr_pools.h>

#define SF_ISOLATION_BYTES 24

/* Connects to the runner that ServerlessRunner names, says HELLO, and waits for its answer for half a second at most.
 * Writes its level of isolation, such as "bubblewrap". Returns APR_SUCCESS; APR_TIMEUP where it does not answer in
 * time; APR_EOF where it closes the connection: httpd's user is none of its clients; APR_EMISMATCH where it has another
 * version of the protocol; or the error of the system. */
apr_status_t sf_runner_check(apr_pool_t *pool, char isolation[SF_ISOLATION_BYTES]);

#endif
