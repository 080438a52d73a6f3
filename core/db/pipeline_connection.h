/* A connection in libpq's pipeline mode, on which the statements of a batch are in flight at once.
 * One thread uses it at a time, and no function waits longer than its caller says. For core/db/
 * only.
 *
 * A batch is sent with one Sync at its end. After an error PostgreSQL skips all statements up to
 * the next Sync: they have not run. A batch of reads begins with the statement credentials_epoch, the
 * opening: its answer is true of a moment after each statement of the batch was asked for, and
 * before any of them ran. A batch of writes has no opening; its Sync commits it. README.md has the
 * reasons. */
#ifndef SF_DB_PIPELINE_CONNECTION_H
#define SF_DB_PIPELINE_CONNECTION_H

#include "core/db/session.h"

/* The most statements of a batch. */
#define SF_BATCH_MAX 64

/* Whether the connection can carry another batch. */
typedef enum {
    /* There is no connection. The first state, and set by close. Ended by ensure_open. */
    SF_PIPELINE_CLOSED,
    /* Set by ensure_open. Ended by the states below, and by close. */
    SF_PIPELINE_READY,
    /* The connection works, but another batch would fail. Set by mark_stale, and by ensure_open
     * where a new session could not be set up. Ended by ensure_open, which connects anew. */
    SF_PIPELINE_STALE,
    /* No more answers come: the connection is lost, or out of step with the protocol. Set by send,
     * read and give_up. Ended by ensure_open, which connects anew. */
    SF_PIPELINE_BROKEN
} sf_pipeline_state;

/* How far a batch has come. end_batch ends the last four. */
typedef enum {
    /* Nothing is in flight; statements may be added. The first state, and set by end_batch. Ended
     * by send. */
    SF_BATCH_FILLING,
    /* Of reads: sent, and the opening is not answered. Set by send. Ended by read. */
    SF_BATCH_OPENING,
    /* Sent, and statements are being answered. Set by send for writes, by read for reads. Ended by
     * read. */
    SF_BATCH_EXECUTING,
    /* Of reads: the opening has failed, and no statement runs. Set by read. */
    SF_BATCH_OPENING_FAILED,
    /* All statements are answered, and after that PostgreSQL reported an error. Set by read. */
    SF_BATCH_COMMIT_FAILED,
    /* Of writes: the Sync is answered, and a statement has failed. Set by read. */
    SF_BATCH_ROLLED_BACK,
    /* The Sync is answered, and the transaction is committed. Set by read. */
    SF_BATCH_COMMITTED
} sf_batch_state;

/* One statement of a batch. */
typedef struct {
    sf_statement_id id;
    const char *const *values; /* read by send */
    /* rows, an error, or PGRES_PIPELINE_ABORTED: it was skipped. The caller may take it, and sets
     * it to NULL then */
    PGresult *answer;
    int preparing;         /* PostgreSQL prepares it first, and has not answered that */
    int preparation_error; /* `answer` is the error of preparing it */
} sf_batch_statement;

typedef struct {
    server_rec *server;
    int writes;          /* set once: its batches are of writes */
    sf_session *session; /* NULL where there is no connection */
    sf_pipeline_state state;

    sf_batch_state batch_state;
    sf_batch_statement opening;
    sf_batch_statement batch[SF_BATCH_MAX];
    int count;    /* how many statements the batch has */
    int answered; /* so many of them, from the first, have their answer */
    int gave_up;  /* sf_pipeline_give_up() has ended the connection */
} sf_pipeline;

/* The answers that sf_pipeline_read() has read. */
typedef enum {
    SF_ANSWERS_NONE, /* nothing came in time */
    SF_ANSWERS_SOME, /* an answer, a part of one, or the end of the connection */
    SF_ANSWERS_ALL   /* the last: that to the Sync */
} sf_answers;

/* Makes sure that the connection can carry a batch. Called between two batches. Connecting takes as
 * long as DBDParams allows (connect_timeout). Returns 0 where no connection can be had, which has
 * been logged. */
int sf_pipeline_ensure_open(sf_pipeline *p, const sf_caller *caller);

/* Adds a statement to the batch, which has at most SF_BATCH_MAX. */
void sf_pipeline_add(sf_pipeline *p, sf_statement_id id, const char *const *values);

/* Sends the batch without waiting: sf_pipeline_read() sends the part that the socket does not take.
 * A failure sets SF_PIPELINE_BROKEN. */
void sf_pipeline_send(sf_pipeline *p);

/* Waits at most `timeout` microseconds for answers, and stores those that are complete. Sets
 * SF_PIPELINE_BROKEN where no more can come. */
sf_answers sf_pipeline_read(sf_pipeline *p, apr_interval_time_t timeout);

/* Closes the connection, since the deadline of the batch has passed: sets SF_PIPELINE_BROKEN. */
void sf_pipeline_give_up(sf_pipeline *p);

/* Has the connection replaced before the next batch. */
void sf_pipeline_mark_stale(sf_pipeline *p);

/* Ends the batch, and frees the answers that the caller has not taken. */
void sf_pipeline_end_batch(sf_pipeline *p);

/* Closes the connection, where there is one, and gives it back to mod_dbd. */
void sf_pipeline_close(sf_pipeline *p);

#endif
