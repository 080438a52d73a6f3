/* Whether each database answers, as this child has found. While one is silent, all threads but one
 * keep away from it, because connecting blocks inside mod_dbd and libpq. For core/db/ only.
 * README.md has the states. */
#ifndef SF_DB_REACHABILITY_H
#define SF_DB_REACHABILITY_H

#include <apr_dbd.h>
#include <apr_errno.h>
#include <apr_pools.h>
#include <apr_time.h>
#include <mod_dbd.h>

typedef enum {
    /* The first state. Set by leave where a connection was had. Ended by doubt and leave. */
    SF_DB_RESPONSIVE,
    /* A deadline has passed, or a connection was refused at once: the next thread asks whether
     * PostgreSQL answers before it opens a connection. Set by doubt and leave. Ended by leave. */
    SF_DB_DOUBTED,
    /* The last attempt waited in vain: no thread tries for a second, then one thread does. Set by leave,
     * ended by it. */
    SF_DB_UNRESPONSIVE
} sf_db_reachability;

/* Makes the record of each database, whose numbers are 1 to `databases`. Called from child_init.
 * Returns APR_SUCCESS or the error of a mutex or of a condition variable. */
apr_status_t sf_reachability_init(apr_pool_t *pool, int databases);

/* Asks to open a connection. Waits at most `timeout` for another thread that opens one. Returns 1
 * where the caller may open one, and must call sf_reachability_leave() afterwards; `doubted` is 1
 * where it must ask first whether PostgreSQL answers. Returns 0 where the database is silent. */
int sf_reachability_enter(int database, apr_interval_time_t timeout, int *doubted);

/* Ends the attempt that began at `began`; `opened` is 1 where it had a connection. */
void sf_reachability_leave(int database, apr_time_t began, int opened);

/* Notes that a deadline has passed on a connection. */
void sf_reachability_doubt(int database);

/* Returns 1 in the state SF_DB_RESPONSIVE. */
int sf_reachability_is_responsive(int database);

/* Returns 1 where sf_reachability_enter() would return 0 at once. */
int sf_reachability_is_refused(int database);

/* Gives a connection back to mod_dbd; where a thread is opening one, which may hold mod_dbd's mutex
 * for long, leaves that to this thread. */
void sf_reachability_close(int database, server_rec *server, ap_dbd_t *dbd);

/* Sets mod_dbd's function that takes a connection back. Called from post_config. */
void sf_reachability_use(void (*close_connection)(server_rec *, ap_dbd_t *));

#endif
