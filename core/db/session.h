/* A connection that mod_dbd made, and the session of PostgreSQL on it: what we know of one lasts as
 * long as its backend lives. For core/db*.c only.
 *
 * PostgreSQL forgets prepared statements with the backend, and mod_dbd is not told when apr_dbd or
 * libpq reconnects: a changed backend process begins a new session here. */
#ifndef SF_DB_SESSION_H
#define SF_DB_SESSION_H

#include "core/caller.h"
#include "core/db/result.h"
#include "core/db/sqlstate.h"
#include "statements.h"

#include <apr_dbd.h>
#include <libpq-fe.h>
#include <mod_dbd.h>

typedef struct {
    ap_dbd_t *dbd;
    PGconn *native; /* the same connection, as libpq has it */
    int backend_pid;
    int schema_fits;
    sf_db_state state;
    apr_pool_t *pool; /* cleared when another begins */
    apr_dbd_prepared_t *prepared[SF_STATEMENT_COUNT];
} sf_session;

/* As in db.h. */
void sf_session_register_hooks(void);
int sf_session_post_config(void);

/* Takes a connection of this server's pool of mod_dbd's, which must have one left: it would wait for
 * it without a limit. Returns SF_DB_OK and a session whose schema fits; otherwise what stands in the
 * way, has logged it, and nothing need be closed. */
sf_db_result sf_session_open(const sf_caller *caller, server_rec *server, sf_session **session);

/* Makes sure of the session after its connection was reset, as sf_session_open does. */
sf_db_result sf_session_begin(const sf_caller *caller, sf_session *session);

/* Takes in what the server sent unasked, and so notices a connection that it has closed, without a
 * round trip. Returns 0 where it has. */
int sf_session_is_alive(const sf_session *session);

/* Connects anew: the session is over. Waits for that as long as DBDParams says (connect_timeout). */
void sf_session_reset(const sf_session *session);

/* Gives the connection back. */
void sf_session_close(server_rec *server, sf_session *session);

/* Runs a statement through apr_dbd; `values` as for sf_db_run(). */
sf_db_result sf_session_run(const sf_caller *caller, sf_session *session, sf_statement_id id,
                            const char *const *values, sf_rows **rows);

/* Runs BEGIN, COMMIT or ROLLBACK. */
sf_db_result sf_session_control(const sf_caller *caller, sf_session *session, const char *command);

#endif
