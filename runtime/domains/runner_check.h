/* Whether the runner answers, and its figures: for the readiness of the node, its metrics, and the notice of its start. */
#ifndef SF_RUNNER_CHECK_H
#define SF_RUNNER_CHECK_H

#include <apr_errno.h>
#include <apr_pools.h>

#define SF_ISOLATION_BYTES 24
#define SF_ISOLATE_STATES_SHOWN 4

/* The state of the runner, by its own messages. */
typedef struct {
    char isolation[SF_ISOLATION_BYTES];             /* its level, such as "bubblewrap" */
    apr_uint64_t isolates[SF_ISOLATE_STATES_SHOWN]; /* by state */
    apr_uint64_t waiting;                           /* leases that wait for an isolate */
} sf_runner_state;

/* The names of the states of isolates, as the runner's STATUS has them. */
extern const char *const sf_isolate_states[SF_ISOLATE_STATES_SHOWN];

/* Connects to the runner that ServerlessRunner names, says HELLO, asks for its STATUS, and waits for the answers for half a
 * second at most. Returns APR_SUCCESS; APR_TIMEUP where it does not answer in time; APR_EOF where it closes the
 * connection: httpd's user is none of its clients; APR_EMISMATCH where it has another version of the protocol; or the
 * error of the system. */
apr_status_t sf_runner_check(apr_pool_t *pool, sf_runner_state *state);

#endif
