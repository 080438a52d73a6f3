#include "core/db/batch_queue.h"

#include "core/config.h"
#include "core/db/connection_limit.h"
#include "core/db/result.h"

#define BATCH_TIMEOUT apr_time_from_msec(50)

apr_interval_time_t sf_batch_timeout(void)
{
    return sf_config_db_timeout() < BATCH_TIMEOUT ? sf_config_db_timeout() : BATCH_TIMEOUT;
}

/* At most the whole timeout, even where the clock was set back. */
apr_interval_time_t sf_batch_time_left(apr_time_t since)
{
    const apr_interval_time_t left = since + sf_batch_timeout() - apr_time_now();

    if (left <= 0) {
        return 0;
    }
    return left < sf_batch_timeout() ? left : sf_batch_timeout();
}


/* The queue ------------------------------------------------------------------------------------- */

static void enqueue(sf_batch_queue *q, sf_waiter *w)
{
    w->state = SF_WAITER_QUEUED;
    w->next = NULL;
    *q->end = w;
    q->end = &w->next;
}

static void unlink_waiter(sf_batch_queue *q, const sf_waiter *w)
{
    sf_waiter **at = &q->first;

    while (*at != w) {
        at = &(*at)->next;
    }
    *at = w->next;
    if (!*at) {
        q->end = at;
    }
}

sf_waiter *sf_batch_queue_pop(sf_batch_queue *q)
{
    sf_waiter *w = q->first;

    unlink_waiter(q, w);
    return w;
}

sf_waiter *sf_batch_queue_enter(sf_batch_queue *q, sf_statement_id id, const char *const *values)
{
    sf_waiter *w = q->free;

    if (w) {
        q->free = w->next;
    }
    else {
        w = apr_pcalloc(q->pool, sizeof(*w));
        if (apr_thread_cond_create(&w->wake, q->pool) != APR_SUCCESS) {
            return NULL;
        }
    }
    q->waiters++;
    w->since = apr_time_now();
    w->sent_at = 0;
    w->id = id;
    w->values = values;
    enqueue(q, w);
    return w;
}

/* The answer to a statement in flight has no waiter from now on. */
static void abandon(sf_batch_queue *q, const sf_waiter *w)
{
    int i;

    for (i = q->delivered; i < q->batch_size; i++) {
        if (q->batch[i] == w) {
            q->batch[i] = NULL;
        }
    }
}

sf_waiter sf_batch_queue_leave(sf_batch_queue *q, sf_waiter *w)
{
    sf_waiter left;

    if (w->state == SF_WAITER_QUEUED) {
        unlink_waiter(q, w);
    }
    else if (w->state == SF_WAITER_SENT) {
        abandon(q, w);
    }
    if (w->state != SF_WAITER_COMPLETED) {
        sf_waiter_complete(w, SF_DB_NOT_RUN);
        if (!q->has_leader) {
            sf_batch_queue_wake_next(q); /* this waiter may be the one that was woken to lead */
        }
    }
    q->waiters--;
    left = *w;
    w->next = q->free;
    q->free = w;
    return left;
}

void sf_batch_queue_wake_next(const sf_batch_queue *q)
{
    int i;

    for (i = q->delivered; i < q->batch_size; i++) {
        if (q->batch[i]) {
            apr_thread_cond_signal(q->batch[i]->wake);
            return;
        }
    }
    if (q->first) {
        apr_thread_cond_signal(q->first->wake);
    }
}


/* A waiter -------------------------------------------------------------------------------------- */

int sf_batch_queue_is_stalled(const sf_batch_queue *q)
{
    return (q->has_leader || q->batch_size > 0) && sf_batch_time_left(q->last_activity) == 0;
}

int sf_waiter_must_stay(const sf_batch_queue *q, const sf_waiter *w)
{
    return w->state == SF_WAITER_SENT && (q->batch_size == 1 || q->connection.writes);
}

static int has_exceeded_db_timeout(const sf_waiter *w)
{
    return apr_time_now() - w->since > sf_config_db_timeout();
}

int sf_waiter_should_fall_back(const sf_batch_queue *q, const sf_waiter *w)
{
    switch (w->state) {
    case SF_WAITER_QUEUED:
        return (q->batch_size > 0 && sf_batch_queue_is_stalled(q))
               || (sf_batch_time_left(w->since) == 0
                   && (sf_connection_limit_is_available() || has_exceeded_db_timeout(w)));
    case SF_WAITER_SENT:
        return !sf_waiter_must_stay(q, w)
               && (sf_batch_queue_is_stalled(q) || has_exceeded_db_timeout(w));
    default:
        return 0;
    }
}

void sf_waiter_complete(sf_waiter *w, sf_db_result outcome)
{
    w->state = SF_WAITER_COMPLETED;
    w->outcome = outcome;
}


/* The batch in flight --------------------------------------------------------------------------- */

void sf_batch_queue_fill_batch(sf_batch_queue *q)
{
    while (q->first && q->batch_size < q->batch_limit) {
        sf_waiter *w = sf_batch_queue_pop(q);

        w->state = SF_WAITER_SENDING;
        sf_pipeline_add(&q->connection, w->id, w->values);
        q->batch[q->batch_size++] = w;
    }
    q->delivered = 0;
    q->stall_logged = 0;
    q->sent_at = q->last_activity = apr_time_now();
}

void sf_batch_queue_mark_sent(sf_batch_queue *q)
{
    int i;

    for (i = 0; i < q->batch_size; i++) {
        q->batch[i]->state = SF_WAITER_SENT;
        q->batch[i]->sent_at = q->sent_at;
    }
}

static sf_db_result result_of(const PGresult *answer)
{
    switch (PQresultStatus(answer)) {
    case PGRES_TUPLES_OK:
        return SF_DB_OK;
    case PGRES_PIPELINE_ABORTED:
        return SF_DB_NOT_RUN;
    default:
        return sf_db_result_of_error(PQresultErrorMessage(answer));
    }
}

/* Whether a statement has not run, through no fault of its own: PostgreSQL has skipped it after
 * another's error, or has rolled it back with a batch of writes. */
static int is_undone(const sf_batch_queue *q, const PGresult *answer)
{
    const ExecStatusType status = PQresultStatus(answer);

    return status == PGRES_PIPELINE_ABORTED
           || (q->connection.writes && status == PGRES_TUPLES_OK
               && q->connection.batch_state != SF_BATCH_COMMITTED);
}

/* Whether a statement that was undone goes into another batch: not where the batch's opening or its
 * commit has failed, since these may fail again. */
static int may_send_again(const sf_batch_queue *q)
{
    return q->connection.batch_state != SF_BATCH_OPENING_FAILED
           && q->connection.batch_state != SF_BATCH_COMMIT_FAILED;
}

sf_waiter *sf_batch_queue_deliver(sf_batch_queue *q, sf_waiter *w, sf_batch_statement *answered)
{
    PGresult *answer = answered->answer;
    const sf_db_result result = result_of(answer);
    const int undone = is_undone(q, answer);
    /* a write without a lock after lock_timeout can wait for it on another connection */
    const int locked_out
        = q->connection.writes && (result == SF_DB_LOCKED || result == SF_DB_NOT_RUN);

    answered->answer = NULL;
    if (result == SF_DB_INVALIDATED) {
        sf_pipeline_mark_stale(&q->connection);
    }
    if (w && !undone && !locked_out) {
        w->answer = answer;
        w->preparation_error = answered->preparation_error;
        w->database = q->connection.session->state;
        sf_waiter_complete(w, SF_DB_OK);
        return w;
    }
    PQclear(answer);
    if (w && undone && may_send_again(q)) {
        enqueue(q, w);
        return NULL;
    }
    if (w) {
        sf_waiter_complete(w, result == SF_DB_LOCKED ? SF_DB_LOCKED : SF_DB_NOT_RUN);
    }
    return w;
}
