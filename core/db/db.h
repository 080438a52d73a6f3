/* The database: named statements in, rows out. Only core/db/ knows mod_dbd, apr_dbd and libpq. A
 * caller never sees a connection: it is taken for one statement and given back before the function
 * returns, so that a slow client cannot hold one. README.md has the architecture. */
#ifndef SF_DB_H
#define SF_DB_H

#include "core/caller.h"
#include "core/db/db_result.h"
#include "core/db/rows.h"
#include "core/error.h"
#include "statements.h"

/* Runs a statement, and tries again as the statement's kind allows. `values` are its parameters as
 * text, $1 first; NULL is SQL's NULL. `rows` are set to the result set, which lives in the caller's
 * pool, or to NULL.
 *
 * Returns NULL, or an error:
 *   404  a foreign key references a row that was deleted meanwhile
 *   500  any unexpected error
 *   503  the database cannot be reached or does not answer, no connection was free in time, the statement took too
 *        long, the schema has another version, or the connection was lost: once with a write in
 *        flight, twice with a read
 * The reason is only in the log. */
const sf_error *sf_db_run(const sf_caller *caller, sf_statement_id id, const char *const *values,
                          sf_rows **rows);

/* As sf_db_run(), for a caller that tells a database that is away (sf_db_is_away()) from one that is
 * busy, locked or without its schema. Returns the result of the last attempt. */
sf_db_result sf_db_try(const sf_caller *caller, sf_statement_id id, const char *const *values,
                       sf_rows **rows);

/* Runs a statement of the kind "read" in a batch, or not at all. Returns NULL and the rows, an
 * error as sf_db_run() does, or NULL and no rows where the statement did not run. */
const sf_error *sf_db_run_batched(const sf_caller *caller, sf_statement_id id,
                                  const char *const *values, sf_rows **rows);

typedef struct sf_transaction sf_transaction;

/* The steps of a transaction. They run statements with sf_db_step(), stop at the first error, and
 * return it. They may be called again from the beginning, after a rollback. */
typedef const sf_error *sf_steps(sf_transaction *transaction, void *data);

/* Runs `steps` in a transaction on one connection. Commits where they return NULL; otherwise rolls
 * back and returns their error. Other errors are those of sf_db_run() with a statement that
 * writes. */
const sf_error *sf_db_transaction(const sf_caller *caller, sf_steps *steps, void *data);

/* Runs one statement of a transaction. Parameters and errors are those of sf_db_run(), but the
 * statement is not tried again by itself: the whole transaction is. */
const sf_error *sf_db_step(sf_transaction *transaction, sf_statement_id id,
                           const char *const *values, sf_rows **rows);

/* Asks whether the server's database answers to a new connection, if only with an error such as too many
 * connections. Returns 0 where it refuses connections, or is silent for as long as connect_timeout. */
int sf_db_answers(server_rec *s);

/* Registers this module's hook on new connections with mod_dbd. Called when hooks are
 * registered. */
void sf_db_register_hooks(void);

/* Retrieves mod_dbd's functions. Called from post_config. Returns 0 where mod_dbd is not loaded. */
int sf_db_post_config(void);

/* Makes the child's record of each database, and its batch queues where ServerlessPipelining is on.
 * Called from child_init. Returns APR_SUCCESS or the error of a mutex or pool. */
apr_status_t sf_db_child_init(apr_pool_t *pool, server_rec *s);

/* Closes the connections of this child to the server's database that no statement has used for
 * DBDExptime. The next statement connects again. Called about once a second; mod_dbd itself closes
 * connections only when one is given back, and never the last DBDKeep. */
void sf_db_close_idle(server_rec *s);

/* Connects to the caller's database and logs SF0004 where its schema has another version. Returns 1 where it
 * has this module's. */
int sf_db_check_schema(const sf_caller *caller);

/* Returns the name of a server's database for people, such as "serverless@db.example.com", or
 * "serverless@/var/run/postgresql". */
const char *sf_db_label(apr_pool_t *pool, server_rec *s);

#endif
