/* The waiters for one pipeline connection, and the batch in flight on it. No function here blocks
 * or talks to the database; batch.c decides when they are called. For core/db/batch.c only.
 *
 * A waiter is a request that wants one statement run. One of the waiters is the leader: it sends
 * the statements of all waiters as a batch, reads the answers and delivers them. The others are
 * followers. README.md has the whole, with a picture. */
#ifndef SF_DB_BATCH_QUEUE_H
#define SF_DB_BATCH_QUEUE_H

#include "core/db/pipeline_connection.h"

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

typedef enum {
    /* In the queue. Set by the request, and by the leader where the statement is to be sent again.
     * Ended by the leader, or by the request as it falls back. */
    SF_WAITER_QUEUED,
    /* The leader reads `values` without the mutex: the request must stay. Set by the leader as it
     * fills the batch, ended by it when the batch is sent. */
    SF_WAITER_SENDING,
    /* In flight. Set by the leader. Ended by the leader, or by the request as it falls back, unless
     * sf_waiter_must_stay(). */
    SF_WAITER_SENT,
    /* `outcome` is set. Set by the leader, or by the request as it falls back. Ended when another
     * request uses the waiter. */
    SF_WAITER_COMPLETED
} sf_waiter_state;

/* Waiters are never freed, only used again: there are as many as were needed at once. The mutex of
 * the queue guards each of them. The leader reads its own `state`, and `values` of those that are
 * SF_WAITER_SENDING, without the mutex. */
typedef struct sf_waiter {
    struct sf_waiter *next; /* in the queue, or in the list of free waiters */
    apr_thread_cond_t *wake;
    sf_waiter_state state;
    apr_time_t since;   /* when the request came */
    apr_time_t sent_at; /* when its batch was sent; 0 before that */
    sf_statement_id id;
    const char *const *values;
    sf_db_result outcome;
    PGresult *answer; /* where `outcome` is SF_DB_OK: rows, or an error of the statement's own */
    int preparation_error; /* that error came from preparing the statement */
    sf_db_state database;  /* as the statement ran */
} sf_waiter;

/* Fields of the first part are read and written under the mutex, which no thread holds while it
 * waits for the database. Fields of the second part are written under the mutex, and only by the
 * leader, which may read them without it. Fields of the third part belong to the leader alone.
 *
 * A thread that finds `has_leader` 0 becomes the leader. A leader that stops, and a waiter that
 * leaves while there is no leader, wakes another waiter. */
typedef struct {
    /* under the mutex */
    apr_pool_t *pool;
    apr_thread_mutex_t *mutex;
    int has_leader;
    int closed;  /* the child ends: no request is admitted */
    int waiters; /* how many requests have one */
    sf_waiter *free;
    sf_waiter *first; /* the queue */
    sf_waiter **end;
    apr_time_t retry_at; /* no connection could be had: requests fall back until then */

    /* written under the mutex by the leader */
    apr_time_t last_activity; /* when PostgreSQL last sent something, or the leader began to wait */
    int batch_size;           /* statements in flight; 0 where there is no batch */
    int delivered;            /* so many of them, from the first, have had their answer delivered */
    sf_waiter
        *batch[SF_BATCH_MAX]; /* set to NULL by a request that leaves: its answer is dropped */

    /* the leader's */
    sf_pipeline connection;
    apr_time_t sent_at;
    int batch_limit;  /* the most statements of the next batch */
    int stall_logged; /* SF0031 has been logged for this batch */
} sf_batch_queue;

/* Returns the microseconds that a request waits for its statement to be sent, and that a batch may
 * be in flight without any activity: 50 ms, or ServerlessDBTimeout where that is shorter. */
apr_interval_time_t sf_batch_timeout(void);

/* Returns how many of these microseconds are left since a point in time, 0 where none are. */
apr_interval_time_t sf_batch_time_left(apr_time_t since);

/* The functions below are called with the mutex held. The leader may call the three that return a
 * truth value without it. */

/* Puts a statement at the end of the queue; `values` must stay until the waiter leaves. Returns its
 * waiter, or NULL where none can be made. */
sf_waiter *sf_batch_queue_enter(sf_batch_queue *q, sf_statement_id id, const char *const *values);

/* Takes a waiter out of queue and batch, completed or not, and makes it free. Returns a copy of it
 * as it was; one that was not completed has the outcome SF_DB_NOT_RUN in it. */
sf_waiter sf_batch_queue_leave(sf_batch_queue *q, sf_waiter *w);

/* Takes the first waiter out of the queue, which is not empty. */
sf_waiter *sf_batch_queue_pop(sf_batch_queue *q);

/* Completes a waiter. The caller wakes its request. */
void sf_waiter_complete(sf_waiter *w, sf_db_result outcome);

/* Returns 1 where a request must wait for its answer: a statement that was sent alone takes its
 * time, which it would on any connection; and whether a write is done is not known before its
 * commit. */
int sf_waiter_must_stay(const sf_batch_queue *q, const sf_waiter *w);

/* Returns 1 where a request has waited long enough and should run its statement on a connection of
 * the pool. */
int sf_waiter_should_fall_back(const sf_batch_queue *q, const sf_waiter *w);

/* Moves the first waiters of the queue into a new batch, at most `batch_limit`. */
void sf_batch_queue_fill_batch(sf_batch_queue *q);

/* Notes that the batch has been sent: its waiters may leave. */
void sf_batch_queue_mark_sent(sf_batch_queue *q);

/* Takes the answer of a statement and delivers it to its waiter (NULL: the request has left), or
 * puts the waiter back into the queue where the statement has not run. Returns the waiter that is
 * completed and to be woken, or NULL. */
sf_waiter *sf_batch_queue_deliver(sf_batch_queue *q, sf_waiter *w, sf_batch_statement *answered);

/* Wakes one waiter, which becomes the leader. */
void sf_batch_queue_wake_next(const sf_batch_queue *q);

/* Returns 1 where a leader or a batch has been without activity for sf_batch_timeout(). */
int sf_batch_queue_is_stalled(const sf_batch_queue *q);

#endif
