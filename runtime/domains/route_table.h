/* The table of routes: in shared memory, so that the children of this httpd read a route once. It is
 * set-associative, which bounds it; in a full set, the route that was not used for longest gives way.
 *
 * Threads of all children hold the lock for a look-up and never while they read from the database. A
 * child that dies with the lock leaves an entry that is empty or whole. route.c decides by the entries. */
#ifndef SF_ROUTE_TABLE_H
#define SF_ROUTE_TABLE_H

#include "runtime/domains/domain.h"
#include "runtime/domains/host.h"

typedef enum {
    SF_ENTRY_EMPTY,
    SF_ENTRY_UNREAD, /* a child reads it for the first time */
    SF_ENTRY_ABSENT, /* there is no such Environment */
    SF_ENTRY_PRESENT /* `route` is the Environment's */
} sf_entry_state;

/* Times are of sf_clock_now(). */
typedef struct {
    sf_route_key key;
    sf_entry_state state;
    sf_route route;
    apr_time_t read_at; /* just before the read was sent that found this state */
    apr_interval_time_t lease;
    apr_time_t used_at;
    apr_time_t claimed_at; /* since when a child reads it; 0: none does */
} sf_route_entry;

/* One database, as this node sees it. */
typedef struct {
    apr_time_t away_at;        /* just before the database was asked last, and was away;
                              0 since a read has succeeded */
    apr_time_t claimed_at;     /* while it is away: since when a child tries it; 0: none does */
    apr_time_t lease_begun_at; /* when a child last ran route_lease_begin */
} sf_route_database;

/* Registers the name of the mutex for httpd's directive Mutex. Called from pre_config. */
apr_status_t sf_route_table_pre_config(apr_pool_t *pconf);

/* Makes the table. Called from post_config; does nothing where no virtual host has
 * ServerlessExecution. Returns APR_SUCCESS or the error of the memory or mutex. */
apr_status_t sf_route_table_post_config(apr_pool_t *pconf, server_rec *s);

/* Opens the mutex in a child. */
apr_status_t sf_route_table_child_init(apr_pool_t *pool);

/* Takes the lock. Returns 0 where that fails, and the table cannot be used. */
int sf_route_table_lock(void);
void sf_route_table_unlock(void);

/* Returns the entry of a key, or NULL. Called with the lock held, as all functions below. */
sf_route_entry *sf_route_table_find(const sf_route_key *key);

/* Returns the entry of a key; makes one in the state UNREAD where there is none. */
sf_route_entry *sf_route_table_enter(const sf_route_key *key);

/* Sets the entry's state and, with SF_ENTRY_PRESENT, its route. */
void sf_route_table_set(sf_route_entry *entry, sf_entry_state state, const sf_route *route);

/* Returns the record of a database (sf_config_database()). */
sf_route_database *sf_route_table_database(int database);

/* Takes one read of a name that is not known from the node's budget. Returns 0 where it is used up. */
int sf_route_table_take_read(apr_time_t now);

#endif
