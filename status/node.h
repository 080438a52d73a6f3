/* The state of this node: whether it can serve, and the figures that only the database knows. A statement reads them, at
 * most once a second for each database in all children together, and the runner is asked as often; the results are in
 * shared memory. */
#ifndef SF_NODE_H
#define SF_NODE_H

#include "core/caller.h"
#include "runtime/domains/runner_check.h"

/* Whether the node can serve; if not, the first reason. A further part of the node that can be missing has a row here
 * and in the table of words in node.c, and a check there. */
typedef enum {
    SF_NODE_READY,
    SF_NODE_DATABASE, /* it does not answer */
    SF_NODE_BUSY,     /* no connection to it is free in time */
    SF_NODE_SCHEMA,   /* it is missing, of another version, or not open to httpd's role */
    SF_NODE_RUNNER,   /* it does not answer, where ServerlessRunner names one */
    SF_NODE_KEYS      /* values of Variables have a key that this node does not know */
} sf_node_state;

#define SF_NODE_TASKS 8
#define SF_NODE_TASK_NAME 32

/* When a state was checked last. Children write it without a lock, each field at once. */
typedef struct {
    volatile apr_uint32_t claimed;    /* the second of the last check */
    volatile apr_uint64_t checked_at; /* when the last check ended; 0 before the first */
} sf_node_age;

/* The state of one database, written in the same way. */
typedef struct {
    sf_node_age age;
    volatile apr_uint32_t state;       /* sf_node_state */
    volatile apr_uint32_t announced;   /* the start of this generation of children is in the log */
    volatile apr_uint64_t builds;      /* that wait */
    volatile apr_uint64_t build_age;   /* seconds since the oldest of these was made */
    volatile apr_uint64_t route_lease; /* milliseconds */
    struct {
        char name[SF_NODE_TASK_NAME];
        volatile apr_uint64_t begun; /* seconds since 1970; 0 for never */
    } tasks[SF_NODE_TASKS];          /* of maintenance; a free place has the name "" */
} sf_node_database;

/* The runner, as it was found last. */
typedef struct {
    sf_node_age age;
    volatile apr_uint32_t state; /* sf_node_state */
    volatile apr_uint64_t
        isolates[SF_ISOLATE_STATES_SHOWN]; /* by state; 0 where it does not answer */
    volatile apr_uint64_t waiting;         /* leases that wait */
} sf_node_runner;

/* Makes the shared memory. Called from post_config. Returns APR_SUCCESS or its error. */
apr_status_t sf_node_post_config(apr_pool_t *pool, server_rec *s);

/* Returns the state of the database of `server`, which is one that owns a database (sf_config_next_database()). It is
 * about a second old at most, unless the database takes longer to answer. */
const sf_node_database *sf_node_database_of(const sf_caller *caller, server_rec *server);

/* Returns the state of the runner, or NULL where none is configured. It is about a second old at most, too; a runner that does
 * not answer takes half a second more. */
const sf_node_runner *sf_node_runner_of(apr_pool_t *pool);

/* Returns the state of the node: that of its first database that is not ready, or that of its runner. */
sf_node_state sf_node_check(const sf_caller *caller);

/* Returns the word for a state, such as "ready" or "schema". */
const char *sf_node_word(sf_node_state state);

/* Logs SF0105, the notice of a good start, for each database with the right schema: the first child of this httpd does, once
 * after each start and restart. Called from child_init. */
void sf_node_announce(apr_pool_t *pool, server_rec *s);

#endif
