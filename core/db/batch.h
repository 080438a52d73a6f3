/* Batches: short statements of several requests, sent together in libpq's pipeline mode. A child
 * has one connection for batches of reads and one for batches of writes to each database; one of
 * the requests that wait sends and reads for all. Batching saves time and is never needed: a
 * statement that is not run here runs on a connection of the pool. README.md has the whole. For
 * core/db/db.c only. */
#ifndef SF_DB_BATCH_H
#define SF_DB_BATCH_H

#include "core/caller.h"
#include "core/db/rows.h"
#include "core/db/sqlstate.h"
#include "statements.h"

/* Makes the child's queues, two for each database. Each connects when it is first used. Called from
 * child_init, and only where ServerlessPipelining is on. Returns APR_SUCCESS or the error of a
 * mutex or pool. */
apr_status_t sf_batch_init(apr_pool_t *pool, server_rec *s);

/* Runs a statement of the kind "read" or "short write" in a batch; `values` as for sf_db_run().
 *
 * Returns SF_DB_OK and the rows, or the statement's failure, which has been logged. Returns
 * SF_DB_NOT_RUN where the statement did not run: batching is off or not worthwhile, no connection
 * could be had, no answer came within the timeout, or a write did not get a lock. */
sf_db_result sf_batch_run(const sf_caller *caller, sf_statement_id id, const char *const *values,
                          sf_rows **rows);

/* Closes the connections for batches to the database where they have not been used for so many
 * microseconds. */
void sf_batch_close_idle(int database, apr_interval_time_t limit);

#endif
