/* Short statements of several requests at once, over a connection of each child for those that read and
 * one for those that write: what waits is sent together, in libpq's pipeline mode, by one of those who
 * wait. A way that may be taken, and need not: whatever cannot go this way soon goes the other one, over
 * apr_dbd. For core/db*.c only. */
#ifndef SF_DB_BATCH_H
#define SF_DB_BATCH_H

#include "core/caller.h"
#include "core/db/rows.h"
#include "core/db/sqlstate.h"
#include "statements.h"

/* Makes a child's pipelines, two for each database; one connects when it is first used. Called from
 * child_init, and only where ServerlessPipelining is on. */
apr_status_t sf_pipeline_init(apr_pool_t *pool, server_rec *s);

/* Runs a statement that reads, or one that writes and is short. Returns SF_DB_OK and its rows, or how it
 * failed, which has been logged; SF_DB_NOT_RUN also where it was not tried, took too long to begin with,
 * or had to wait for a lock. */
sf_db_result sf_pipeline_run(const sf_caller *caller, sf_statement_id id, const char *const *values,
                             sf_rows **rows);

#endif
