/* The database: named statements in, rows out. db.c alone knows mod_dbd, apr_dbd and libpq, and a
 * caller never sees a connection: it is taken for one statement and given back before this returns,
 * so that a slow client cannot hold one. */
#ifndef SF_DB_H
#define SF_DB_H

#include "core/caller.h"
#include "core/db/rows.h"
#include "core/error.h"
#include "statements.h"

/* Runs a statement. `values` are its parameters as text, $1 first; NULL is SQL's NULL.
 *
 * Returns NULL and the rows, or an error: 503 where the database cannot be reached, has no free
 * connection in time, took too long, or has another schema; 404 where a parent vanished meanwhile;
 * 500 for the unexpected. A statement that reads is repeated once on a fresh connection if its own
 * was lost; any statement is repeated if PostgreSQL says that it did not run (deadlock, serialization
 * failure, forgotten plan). Everything else has been logged, and the database's text goes nowhere
 * else. */
const sf_error *sf_db_run(const sf_caller *caller, sf_statement_id id, const char *const *values,
                          sf_rows **rows);

/* Runs a statement that reads, if that can be done soon together with those of other requests. Returns
 * NULL and the rows, or an error, as sf_db_run(); or NULL and no rows where it did not run. */
const sf_error *sf_db_run_together(const sf_caller *caller, sf_statement_id id,
                                   const char *const *values, sf_rows **rows);

/* Several statements that count together or not at all. */
typedef struct sf_transaction sf_transaction;

/* What a transaction does: runs its statements with sf_db_step() and stops at the first error, which
 * it returns. May be called again from the beginning. */
typedef const sf_error *sf_steps(sf_transaction *transaction, void *data);

/* Runs `steps` in a transaction and commits it, or, where they return an error, rolls it back and
 * returns that. Otherwise as sf_db_run() with a statement that writes. */
const sf_error *sf_db_transaction(const sf_caller *caller, sf_steps *steps, void *data);

/* One statement of a transaction. */
const sf_error *sf_db_step(sf_transaction *transaction, sf_statement_id id,
                           const char *const *values, sf_rows **rows);

/* Fetches what mod_dbd exports. Called from post_config; returns 0 where mod_dbd is not loaded. */
int sf_db_post_config(void);

/* Asks mod_dbd to have this module see each new connection. Called when hooks are registered. */
void sf_db_register_hooks(void);

/* Makes what a child needs. Called from child_init. */
apr_status_t sf_db_child_init(apr_pool_t *pool, server_rec *s);

/* Looks at each database as a child starts, and says in the error log if its schema does not fit. */
void sf_db_look(apr_pool_t *pool, server_rec *s);

#endif
