/* A connection of mod_dbd's pool with PostgreSQL's session on it, and statements run on it, each
 * with a deadline. For core/db/ only.
 *
 * Prepared statements last as long as the backend process. apr_dbd and libpq reconnect without
 * telling mod_dbd, so this file compares the backend's process id: where it has changed, the
 * session is new. */
#ifndef SF_DB_SESSION_H
#define SF_DB_SESSION_H

#include "core/caller.h"
#include "core/db/result.h"
#include "core/db/sqlstate.h"
#include "statements.h"

#include <apr_dbd.h>
#include <libpq-fe.h>
#include <mod_dbd.h>

/* A connection with its session. It lasts as long as mod_dbd keeps the connection. */
typedef struct sf_session {
    ap_dbd_t *dbd;
    PGconn *native; /* libpq's handle of the same connection */
    int backend_pid;
    int schema_fits; /* the schema has the version that the statements are written for */
    apr_interval_time_t time_limit; /* of a statement: statement_timeout and a second */
    sf_db_state state;
    char prepared[SF_STATEMENT_COUNT]; /* the session knows the statement, or is about to */

    /* of the list of idle sessions */
    struct sf_session *next_idle;
    int database;
    apr_time_t idle_since;
} sf_session;

/* As sf_db_register_hooks() and sf_db_post_config(). */
void sf_session_register_hooks(void);
int sf_session_post_config(void);

/* Makes the child's list of idle sessions, and the record of each database; their
 * numbers are 1 to `databases`. Called from child_init, with a pool that lasts longer than mod_dbd's. Returns
 * APR_SUCCESS or the error of the mutex. */
apr_status_t sf_session_init(apr_pool_t *pool, int databases);

/* Takes a connection of mod_dbd's pool for this server, one thread of a child at a time. The caller holds a permit of
 * connection_limit.h, because mod_dbd would wait without a limit. Returns SF_DB_OK and a session
 * where the schema fits; or the failure, which has been logged, and then there is nothing to close:
 * SF_DB_AWAY without a connection, SF_DB_NO_SCHEMA with another schema, SF_DB_NOT_RUN where
 * the connection was lost again, or the result of the statement session_begin. */
sf_db_result sf_session_open(const sf_caller *caller, server_rec *server, sf_session **session);

/* Reads the bytes that have arrived on the idle connection, without a round trip. Returns 0 where
 * the server has closed it. */
int sf_session_is_alive(const sf_session *session);

/* Closes the connection at once and ends the session. apr_dbd connects anew at its next use. */
void sf_session_drop(const sf_session *session);

/* Gives the connection back to the pool. */
void sf_session_close(server_rec *server, sf_session *session);

/* Closes the pool's connections to the database that were given back so many microseconds ago, or
 * earlier, and have not been used since. */
void sf_session_close_idle(int database, apr_interval_time_t limit);

/* Runs a statement, after preparing it where the session does not know it; `values`
 * as for sf_db_run(). A statement of the kind "long write" runs under ServerlessDeleteTimeout.
 * Returns SF_DB_OK and the rows, or the failure, which has been logged, and NULL. SF_DB_AWAY: the
 * time limit of the session has passed without an answer, and the connection is dropped.
 * SF_DB_LOCKED, which is not logged: a lock was not had in 50 ms. */
sf_db_result sf_session_run(const sf_caller *caller, sf_session *session, sf_statement_id id,
                            const char *const *values, sf_rows **rows);

/* Returns how long a statement of the caller may wait for locks: as long as it may run in the caller's database. */
apr_interval_time_t sf_session_lock_limit(const sf_caller *caller, sf_statement_kind kind);

/* Lets the next statement wait for a lock as long as it may run (`patient` 1), or as all statements
 * do (0). Returns SF_DB_OK or the failure, which has been logged; the connection is dropped then. */
sf_db_result sf_session_be_patient(const sf_caller *caller, sf_session *session, int patient);

/* Runs a command without parameters or rows, such as BEGIN, COMMIT, ROLLBACK or SET. Returns
 * SF_DB_OK or the failure, which has been logged. */
sf_db_result sf_session_command(const sf_caller *caller, sf_session *session, const char *command);

/* Returns database and host of DBDParams: see sf_db_label(). */
const char *sf_session_label(apr_pool_t *pool, const server_rec *server);

/* Asks whether PostgreSQL answers to the DBDParams. Takes as long as they allow (connect_timeout), 2 seconds
 * where they do not say. Returns NULL where it does, and where they are not known; else the reason, for the log. */
const char *sf_session_failure(server_rec *server);

#endif
