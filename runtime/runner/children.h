/* The control socket: accepts the connections of children, and does what their messages say. */
#ifndef SF_CHILDREN_H
#define SF_CHILDREN_H

#include "runtime/runner/builds.h"
#include "runtime/runner/config.h"
#include "runtime/runner/connection.h"
#include "runtime/runner/install.h"
#include "runtime/runner/isolate.h"
#include "runtime/runner/pool.h"

typedef struct {
    apr_pool_t *pool;
    const sf_runner_config *config;
    sf_loop *loop;
    sf_pool *isolates;
    sf_builds *builds;
    sf_installs *installs;
    sf_watch listener;
    APR_RING_HEAD(, sf_connection) connections;
    int connected;
    int is_leaving;
    apr_time_t next_ping;
} sf_children;

/* Makes the socket, in place of the one of an earlier runner, and watches it. Returns NULL or a message. */
const char *sf_children_listen(sf_children *children);

/* Closes the connections that have failed, and those of children without leases while the runner leaves. Called
 * after each event. */
void sf_children_sweep(sf_children *children, apr_time_t now);

/* Sends PING to the children that have leased isolates, every five seconds. Closes the connection of a child that
 * has sent nothing since six of them: it hangs, and would keep its isolates. */
void sf_children_ping(sf_children *children, apr_time_t now);

/* The runner stops, or another one has its socket: refuses the leases that wait, and tells all children. */
void sf_children_leave(sf_children *children);

/* Tells a child that its isolate has ended by itself. */
void sf_children_gone(void *holder, const sf_isolate *isolate, const sf_isolate_end *end);

#endif
