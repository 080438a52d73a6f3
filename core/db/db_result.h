/* The results of a statement. Callers outside of core/db/ get them from sf_db_try() (db.h). */
#ifndef SF_DB_DB_RESULT_H
#define SF_DB_DB_RESULT_H

/* The result of one attempt to run a statement. README.md tells which are tried again. */
typedef enum {
    SF_DB_OK,
    /* The database does not answer: it cannot be reached, or a deadline has passed. Where the
     * statement was sent, it may have run, or not. */
    SF_DB_AWAY,
    /* No connection was free in time. */
    SF_DB_BUSY,
    /* The connection broke. The statement may have run, or not. */
    SF_DB_CONNECTION_LOST,
    /* It did not run, or was rolled back as a whole. */
    SF_DB_NOT_RUN,
    /* It was rolled back, because a lock that it needs is held by another session. */
    SF_DB_LOCKED,
    /* It did not run: the session does not know the prepared statement, or the schema changed under
     * its plan. The session must be replaced. */
    SF_DB_INVALIDATED,
    /* A foreign key references no row. */
    SF_DB_PARENT_MISSING,
    /* A schema, table or function does not exist, or the role has no right to it. */
    SF_DB_NO_SCHEMA,
    /* The database answers, but cannot run the statement now. */
    SF_DB_UNAVAILABLE,
    /* Any other error: a fault of the module's. */
    SF_DB_FAILED
} sf_db_result;

/* Returns 1 for the results that mean that PostgreSQL is away: not there, or silent. */
static inline int sf_db_is_away(sf_db_result result)
{
    return result == SF_DB_AWAY || result == SF_DB_CONNECTION_LOST;
}

#endif
