/* Resolves the Dependencies of Builds: runs runtime/install/install.js in a process for each, and passes its files
 * to the child of httpd that has asked. */
#ifndef SF_INSTALL_H
#define SF_INSTALL_H

#include "runtime/runner/cage.h"
#include "runtime/runner/config.h"
#include "runtime/runner/connection.h"
#include "runtime/runner/store.h"
#include "runtime/runner/store_work.h"

typedef struct sf_installs sf_installs;

typedef struct {
    const sf_runner_config *config;
    const sf_cage *cage;
    sf_loop *loop;
    sf_store *store; /* for folders below tmp */
    sf_work_queue *work;
} sf_installs_parts;

/* Makes the list of installs, which is empty. */
sf_installs *sf_installs_make(apr_pool_t *pool, const sf_installs_parts *parts);

/* Does what INSTALL says, at once or when processes before it have ended. Returns NULL, or why the message cannot be read. */
const char *sf_installs_begin(sf_installs *installs, sf_connection *child,
                              const sf_control_message *message);

/* Answers for the processes that have ended. */
void sf_installs_reap(sf_installs *installs);

/* Starts what waits for the network, or refuses it, if the network has failed. Another network than that of installs is
 * ignored. */
void sf_installs_network_changed(sf_installs *installs, const sf_network *network);

/* Ends the processes that have taken too long. */
void sf_installs_tick(sf_installs *installs, apr_time_t now);

/* Kills all processes: the runner stops. */
void sf_installs_end(sf_installs *installs);

/* Ends the processes of a child whose connection has ended. */
void sf_installs_remove_holder(sf_installs *installs, const sf_connection *child);

#endif
