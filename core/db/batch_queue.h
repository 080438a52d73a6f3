/* The requests that wait for a pipeline, and the batch that is under way for some of them. Nothing here
 * waits, or talks to the database. For core/db/batch.c only. */
#ifndef SF_DB_BATCH_QUEUE_H
#define SF_DB_BATCH_QUEUE_H

#include "core/db/pipeline_connection.h"

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

typedef enum { SF_SEAT_QUEUED, SF_SEAT_SENDING, SF_SEAT_SENT, SF_SEAT_SETTLED } sf_seat_state;

/* Where a request waits. There are as many as were ever needed at once. */
typedef struct sf_seat {
    struct sf_seat *next; /* in the queue, or of those that are free */
    apr_thread_cond_t *wake;
    sf_seat_state state;
    apr_time_t since;
    sf_statement_id id;
    const char *const *values;
    sf_db_result outcome;
    PGresult *result; /* where that is SF_DB_OK: what PostgreSQL said, rows or an error */
    int unprepared;   /* the error is of preparing it */
    sf_db_state database;
} sf_seat;

/* One of the requests that wait leads: it alone uses the line, and what else is called the leader's.
 * Everything else is guarded by the mutex, which nobody holds while waiting for the database; what
 * only the leader writes (sent, heard, its own seat) it reads without. While a seat is
 * SF_SEAT_SENDING the leader reads what the seat points to, and the request must stay; else it may
 * leave, unless sf_seat_must_stay().
 *
 * Who finds nobody leading leads. Who ends leading, or leaves where nobody leads, wakes another. */
typedef struct {
    apr_pool_t *pool;
    apr_thread_mutex_t *mutex;
    int led;
    int closed;
    int seated; /* how many requests have a seat */
    sf_seat *free;
    sf_seat *first; /* the queue */
    sf_seat **end;
    apr_time_t away_until; /* no connection was to be had */
    apr_time_t heard;      /* the last sign of life, or when there began something to wait for */
    int sent; /* how many statements are under way, and whose; NULL: nobody's any more */
    sf_seat *batch[SF_LINE_MOST];

    /* the leader's */
    sf_line line;
    apr_time_t begun;
    int settled; /* so many of the batch have been told */
    int limit;   /* how many the next batch may have */
    int complained;
} sf_pipeline;

/* How long a request waits until its statement is sent, and from then on for any sign of life; and how
 * much of that is left. */
apr_interval_time_t sf_seats_patience(void);
apr_interval_time_t sf_seats_left_since(apr_time_t begun);

/* All others are called with the mutex held, or by the leader, for what only the leader writes. */

/* A seat for a request, at the end of the queue; NULL where none can be made. */
sf_seat *sf_seat_take(sf_pipeline *p, sf_statement_id id, const char *const *values);

/* Leaves the seat, with the answer or without. Returns what was in it. */
sf_seat sf_seat_leave(sf_pipeline *p, sf_seat *me);

/* Ends the waiting of the one in the seat, who is still to be woken. */
void sf_seat_settle(sf_seat *seat, sf_db_result outcome);

/* Whether this request has to wait for its answer. What was sent by itself takes its time, and would do
 * so anywhere. Of what writes, nobody knows whether it will be done. */
int sf_seat_must_stay(const sf_pipeline *p, const sf_seat *me);

/* Whether this request should rather go the other way. */
int sf_seat_is_impatient(const sf_pipeline *p, const sf_seat *me);

/* The first in the queue, who is there, leaves it. */
sf_seat *sf_seats_dequeue(sf_pipeline *p);

/* Moves those in the queue into the next batch, as many as it may have; and says that they are sent. */
void sf_seats_fill_batch(sf_pipeline *p);
void sf_seats_mark_sent(sf_pipeline *p);

/* Hands over the answer to a statement. Returns whom to wake, or NULL. */
sf_seat *sf_seats_hand_over(sf_pipeline *p, sf_seat *seat, sf_line_statement *answered);

/* Wakes one who waits, who then leads. */
void sf_seats_call_next(const sf_pipeline *p);

/* Whether there has been nothing to hear for too long. */
int sf_seats_are_silent(const sf_pipeline *p);

#endif
