/* The networks of Functions at the level of egress `filtered`: one network namespace for each Environment. From there,
 * Functions reach the Internet, and neither the machine nor its networks.
 *
 * A network is made of three programs. pasta makes the namespaces of user and network, and moves what is sent there through
 * sockets of its own. nft, inside, refuses addresses. Routes of the type `prohibit` would not do: the kernel ignores them for
 * a socket that names its interface (SO_BINDTODEVICE, IP_PKTINFO). ip, inside, configures the interface last. A cage enters
 * the network with nsenter, and is in a user namespace of its own below, where it has no right to change any of it. */
#ifndef SF_EGRESS_H
#define SF_EGRESS_H

#include "runtime/runner/egress_rules.h"

#include <apr_pools.h>
#include <apr_tables.h>

/* All networks of a runner. */
typedef struct sf_networks sf_networks;

/* The network of one Environment. */
typedef struct sf_network sf_network;

typedef enum { SF_NETWORK_STARTING, SF_NETWORK_READY, SF_NETWORK_FAILED } sf_network_state;

/* Is told when the state of a network has changed. May drop the network. */
typedef struct {
    void (*changed)(void *data, sf_network *network, sf_network_state before);
    void *data;
} sf_network_listener;

/* Finds the programs and makes their instructions. `allowed` has the ranges (const char *) that Functions may reach although
 * they are private or the machine's. Returns NULL with `networks`, or a message. */
const char *sf_networks_make(apr_pool_t *pool, const apr_array_header_t *allowed,
                             sf_networks **networks);

/* Starts a network for the Environment, or counts one more user of its network. A network that has failed is replaced.
 * Does not wait. Returns NULL with `network`, or a message. */
const char *sf_network_hold(sf_networks *networks, const char *environment, sf_network **network);

/* Holds the Environment's network and waits until it is ready. `networks` may be NULL: there is no network then. Returns NULL with
 * `network`, or a message. */
const char *sf_networks_ready(sf_networks *networks, const char *environment, sf_network **network);

/* Counts one user less. The network ends with its last user. */
void sf_network_drop(sf_network *network);

/* Returns the state. A network that is not ready after five seconds has failed, and so has one in which nft does not read the
 * machine's new addresses in that time. */
sf_network_state sf_network_state_of(const sf_network *network);

/* Returns the SID of the Environment. */
const char *sf_network_environment(const sf_network *network);

/* Waits until the network is ready. Returns NULL, or why it has failed. */
const char *sf_network_wait(sf_network *network);

/* Returns why the network has failed. */
const char *sf_network_failure(const sf_network *network);

/* Appends the words that run a program in the network, which is ready. The program begins as the root of the network's user
 * namespace: a cage makes one of its own, below. */
void sf_network_enter(const sf_network *network, apr_array_header_t *arguments);

/* Returns the rules of all networks. */
const sf_egress_rules *sf_networks_rules(const sf_networks *networks);

/* Has a listener told of all networks. */
void sf_networks_listen(sf_networks *networks, const sf_network_listener *listener);

/* Returns a descriptor that can be read when a network or the machine's addresses may have changed. */
int sf_networks_descriptor(const sf_networks *networks);

/* Reads one event from that descriptor, without waiting. New addresses of the machine are refused in all networks; a network in
 * which that fails has failed. Returns NULL, or why the addresses cannot be read. */
const char *sf_networks_read(sf_networks *networks);

/* Ends the networks whose time is over. Called every second. */
void sf_networks_tick(sf_networks *networks, apr_time_t now);

#endif
