/* The process of an isolate: its start, its line, its words, its death. */
#ifndef SF_ISOLATE_H
#define SF_ISOLATE_H

#include "runtime/runner/cage.h"
#include "runtime/runner/cgroup.h"
#include "runtime/runner/config.h"
#include "runtime/runner/loop.h"
#include "runtime/runner/pool.h"

typedef struct {
    const sf_runner_config *config;
    const sf_cage *cage;
    sf_cgroups *cgroups; /* NULL where there are none */
    sf_loop *loop;
    sf_pool *pool;
    int is_reap_due; /* an isolate has ended before it had a process, so that no SIGCHLD will come */
} sf_isolate_parts;

/* Starts an isolate of the Build in `folder`, which outlives the isolate: its network, if egress is filtered, and its process
 * as soon as the network is ready. Does not wait for the network. Returns NULL, or why it could not be started. */
const char *sf_isolate_start(sf_isolate_parts *parts, sf_isolate *isolate, const char *folder);

/* Returns the runner's end of the line, to be passed to a child. Bytes on it no longer end the isolate. */
int sf_isolate_lend(const sf_isolate *isolate);

/* The line was returned: bytes on it end the isolate from now on. Returns NULL, or why the isolate is to end already. */
const char *sf_isolate_take_back(const sf_isolate *isolate);

/* Kills the process and all others of its group. An isolate that waits for its network has none: sets is_reap_due. */
void sf_isolate_kill(const sf_isolate *isolate);

/* How a process ended: "exit 1", "signal 9", "memory", "processor time"; and its last words. Or why there was none. */
typedef struct {
    const char *cause;
    const char *detail;
} sf_isolate_end;

/* Reaps the process of an isolate if it has ended. Returns whether it has; `end` is allocated from the isolate's
 * pool then, and the process is gone. */
int sf_isolate_reap(sf_isolate *isolate, sf_isolate_end *end);

/* The state of a network has changed. Starts the processes of isolates that wait for a network that is ready now. Ends the isolates
 * of a network that has failed, but for leased ones: their end is the result of sf_isolate_take_back(). */
void sf_isolates_network_changed(sf_pool *pool, const sf_network *network);

/* Ends the isolate if it was not ready in time. Called every second. */
void sf_isolate_check_start(sf_pool *pool, sf_isolate *isolate, apr_time_t now);

#endif
