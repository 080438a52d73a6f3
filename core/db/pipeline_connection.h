/* A connection on which several statements are under way at once, in libpq's pipeline mode. It is used
 * by one thread at a time, and never waits longer than it is told to. For core/db*.c only.
 *
 * A batch is sent with one Sync at its end. After an error PostgreSQL skips what comes before the next
 * Sync: so what follows a statement that failed has not run, and is to be sent once more. A Sync for
 * each would make PostgreSQL send each answer by itself, which costs both sides more than a short
 * statement does. statement_timeout is for each statement either way.
 *
 * A batch of reads begins with credentials_tag, so that what it says was so after every statement of the
 * batch was wanted, and before any of them ran. A batch of writes is committed by its Sync: nothing of
 * it has happened before that is answered. Whoever holds a lock that one of them needs makes it fail. */
#ifndef SF_DB_PIPELINE_CONNECTION_H
#define SF_DB_PIPELINE_CONNECTION_H

#include "core/db/session.h"

/* The most statements of a batch. */
#define SF_LINE_MOST 64

/* One statement of a batch, and what became of it. */
typedef struct {
    sf_statement_id id;
    const char *const *values; /* read until it has been sent */
    PGresult *result;          /* rows, an error, or PGRES_PIPELINE_ABORTED: it was skipped */
    int unprepared;            /* the error is of preparing it */
    int prepares;              /* it is prepared first, and that has not been answered yet */
} sf_line_statement;

/* How a session knows a statement: not at all, as apr_dbd has prepared it, for which all parameters are
 * text, or as the line has. */
typedef enum { SF_LINE_UNKNOWN, SF_LINE_BY_APR_DBD, SF_LINE_OWN } sf_line_knowledge;

typedef struct {
    server_rec *server;
    int writes;          /* its statements write: a batch counts as a whole, or not at all */
    sf_session *session; /* NULL: there is no connection */
    int stale;           /* the session has forgotten statements: a new one after this batch */
    int broken;          /* lost, or nobody knows where in the protocol it is */
    sf_line_knowledge known[SF_STATEMENT_COUNT];
    sf_line_statement opening; /* credentials_tag, before the batch's own statements */
    int opened;                /* it has been answered: session->state has the tag */
    int uncommitted;           /* the end of the batch failed */
    int done;                  /* of writes: all have been done, the batch's end included */
    int count;                 /* statements in the batch; 0 where none is under way */
    int answered;
    sf_line_statement batch[SF_LINE_MOST];
} sf_line;

/* What has come from PostgreSQL: nothing in time, something, or the last of the batch. */
typedef enum { SF_LINE_NOTHING, SF_LINE_SOME, SF_LINE_ALL } sf_line_news;

/* Has a connection with a session ready, between two batches. Waits for a new one as long as DBDParams
 * says; 0 where it is not to be had, which has been logged. */
int sf_line_ready(sf_line *line, const sf_caller *caller);

/* Puts a statement into the batch that is sent next. */
void sf_line_add(sf_line *line, sf_statement_id id, const char *const *values);

/* Sends the batch. Does not wait: what the socket does not take, sf_line_read() sends. */
void sf_line_send(sf_line *line);

/* The error of a batch's opening, after which none of its statements has run, or NULL. */
const PGresult *sf_line_opening_error(const sf_line *line);

/* Waits for answers; those of the first `answered` statements are there then, or have been taken. Where
 * `broken` is set after that, no others will come. */
sf_line_news sf_line_read(sf_line *line, apr_interval_time_t timeout);

/* Ends the batch, so that another can begin. Frees the results that nobody has taken: who takes one sets
 * it to NULL. */
void sf_line_end(sf_line *line);

/* Gives the connection back to mod_dbd, if there is one. */
void sf_line_close(sf_line *line);

#endif
