#include "core/db/batch.h"

#include "core/config.h"
#include "core/db/batch_queue.h"
#include "core/db/connection_limit.h"
#include "core/db/reachability.h"
#include "core/db/result.h"
#include "core/log.h"
#include "core/metrics.h"

#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <http_config.h>
#include <http_log.h>

APLOG_USE_MODULE(serverless_functions);

/* How long a batch should be in flight: its size follows from that. */
#define BATCH_DURATION apr_time_from_msec(10)

/* With fewer other requests at the database, connections side by side answer sooner than a
 * batch. */
#define BATCH_MIN_WAITERS 3

/* After a failure to connect, how long no attempt is made. */
#define RETRY_INTERVAL apr_time_from_sec(1)

/* By the number of the database, which begins at 1; NULL where pipelining is off. */
static sf_batch_queue *read_queues;
static sf_batch_queue *write_queues;


/* The leader ------------------------------------------------------------------------------------ */

/* No connection can be had: all waiters fall back, and for RETRY_INTERVAL so does each new
 * request. */
static void refuse_all(sf_batch_queue *q)
{
    apr_thread_mutex_lock(q->mutex);
    q->retry_at = apr_time_now() + RETRY_INTERVAL;
    while (q->first) {
        sf_waiter *w = sf_batch_queue_pop(q);

        sf_waiter_complete(w, SF_DB_NOT_RUN);
        apr_thread_cond_signal(w->wake);
    }
    apr_thread_mutex_unlock(q->mutex);
}

static void send_batch(sf_batch_queue *q)
{
    sf_metrics_add(SF_METRIC_BATCHES);
    apr_thread_mutex_lock(q->mutex);
    sf_batch_queue_fill_batch(q);
    apr_thread_mutex_unlock(q->mutex);
    sf_pipeline_send(&q->connection);
    apr_thread_mutex_lock(q->mutex);
    sf_batch_queue_mark_sent(q);
    apr_thread_mutex_unlock(q->mutex);
}

/* Ends a batch that has been answered as a whole. The next one may be as large as could have been
 * answered in BATCH_DURATION. Called with the mutex held. */
static void end_batch(sf_batch_queue *q)
{
    const apr_interval_time_t duration = q->last_activity - q->sent_at;

    if (duration > BATCH_DURATION) {
        q->batch_limit = (int)(q->batch_size * BATCH_DURATION / duration);
        q->batch_limit = q->batch_limit > 0 ? q->batch_limit : 1;
    }
    else if (q->batch_size == q->batch_limit) {
        q->batch_limit = q->batch_limit * 2 < SF_BATCH_MAX ? q->batch_limit * 2 : SF_BATCH_MAX;
    }
    q->batch_size = 0;
    sf_pipeline_end_batch(&q->connection);
}

/* Ends a batch after its connection is lost: the waiters without an answer are completed with that.
 * Returns how many are put into `completed`. Called with the mutex held. */
static int fail_batch(sf_batch_queue *q, sf_waiter **completed)
{
    const sf_db_result result = q->connection.gave_up ? SF_DB_AWAY : SF_DB_CONNECTION_LOST;
    int count = 0;

    sf_pipeline_end_batch(&q->connection);
    for (; q->delivered < q->batch_size; q->delivered++) {
        sf_waiter *w = q->batch[q->delivered];

        if (w) {
            sf_waiter_complete(w, result);
            completed[count++] = w;
        }
    }
    q->batch_size = 0;
    return count;
}

/* Where the opening of a batch has failed, none of its statements has run, and none would in
 * another batch of this session. Called as the batch ends. */
static void check_opening(sf_batch_queue *q, const sf_caller *caller)
{
    const PGresult *error = q->connection.opening.answer;

    if (error) {
        sf_pipeline_mark_stale(&q->connection);
        sf_db_log_failure(caller, "executing", sf_statements[SF_STATEMENT_CREDENTIALS_EPOCH].name,
                          apr_pstrdup(caller->pool, PQresultErrorMessage(error)));
    }
}

/* Delivers the answers that have been read: of reads each at once, of writes all after the commit.
 * Returns how many waiters are put into `completed`; `lost` is how many of them lost their
 * connection. Called with the mutex held. */
static int deliver_answers(sf_batch_queue *q, sf_answers answers, sf_waiter **completed, int *lost)
{
    const int deliverable = !q->connection.writes || answers == SF_ANSWERS_ALL;
    int count = 0;

    *lost = 0;
    q->last_activity = apr_time_now();
    for (; deliverable && q->delivered < q->connection.answered; q->delivered++) {
        sf_waiter *w
            = sf_batch_queue_deliver(q, q->batch[q->delivered], &q->connection.batch[q->delivered]);

        if (w) {
            completed[count++] = w;
        }
    }
    if (answers == SF_ANSWERS_ALL && q->delivered == q->batch_size) {
        end_batch(q);
    }
    else if (answers == SF_ANSWERS_ALL || q->connection.state == SF_PIPELINE_BROKEN) {
        *lost = fail_batch(q, completed + count);
    }
    return count + *lost;
}

/* Delivers answers and wakes their requests, which is done without the mutex: they would only have
 * to wait for it. Waiters are never freed, so that waking one after its request has left does no
 * harm. */
static void notify_completed(sf_batch_queue *q, const sf_caller *caller, sf_answers answers)
{
    sf_waiter *completed[SF_BATCH_MAX];
    int count;
    int lost;

    if (answers == SF_ANSWERS_ALL || q->connection.state == SF_PIPELINE_BROKEN) {
        check_opening(q, caller);
    }
    apr_thread_mutex_lock(q->mutex);
    count = deliver_answers(q, answers, completed, &lost);
    apr_thread_mutex_unlock(q->mutex);
    while (count > 0) {
        apr_thread_cond_signal(completed[--count]->wake);
    }
    if (lost > 0) {
        sf_log_limited(caller, APLOG_ERR, "SF0030",
                       "the connection was lost on which %d statements were under way together",
                       lost);
    }
}

/* Gives up the connection where the batch in flight has had no answer within the session's time
 * limit. Returns 1 where it does. */
static int has_given_up(sf_batch_queue *q, const sf_caller *caller)
{
    const apr_interval_time_t limit = q->connection.session->time_limit;

    if (apr_time_now() - q->last_activity < limit) {
        return 0;
    }
    sf_log_limited(caller, APLOG_ERR, "SF0032",
                   "a batch of %d statements: no answer from the database in %d ms",
                   q->batch_size - q->delivered, (int)apr_time_as_msec(limit));
    sf_pipeline_give_up(&q->connection);
    sf_reachability_doubt(sf_config_database(q->connection.server));
    return 1;
}

/* Sends a batch where none is in flight, then waits for answers and delivers them. */
static void make_progress(sf_batch_queue *q, const sf_caller *caller, const sf_waiter *self)
{
    apr_interval_time_t timeout;
    sf_answers answers;

    if (q->batch_size == 0) {
        if (!sf_pipeline_ensure_open(&q->connection, caller)) {
            refuse_all(q);
            return;
        }
        send_batch(q);
    }
    timeout
        = sf_waiter_must_stay(q, self) ? sf_batch_timeout() : sf_batch_time_left(q->last_activity);
    answers = sf_pipeline_read(&q->connection, timeout);
    if (answers != SF_ANSWERS_NONE || has_given_up(q, caller)) {
        notify_completed(q, caller, answers);
    }
}

/* Uses the connection for all waiters until the leader's own statement is completed, or should fall
 * back. Called with the mutex held, and returns with it held. */
static void lead(sf_batch_queue *q, const sf_caller *caller, const sf_waiter *self)
{
    q->has_leader = 1;
    if (q->batch_size == 0) {
        q->last_activity = apr_time_now();
    }
    apr_thread_mutex_unlock(q->mutex);
    do {
        make_progress(q, caller, self);
    } while (self->state != SF_WAITER_COMPLETED && !sf_waiter_should_fall_back(q, self));
    if (q->batch_size > 1 && !q->connection.writes && sf_batch_queue_is_stalled(q)
        && !q->stall_logged) {
        q->stall_logged = 1;
        sf_log(caller, APLOG_INFO, "SF0031",
               "no answer for %d ms to %d statements sent together: others take another connection",
               (int)apr_time_as_msec(sf_batch_timeout()), q->batch_size - q->delivered);
    }
    apr_thread_mutex_lock(q->mutex);
    q->has_leader = 0;
    sf_batch_queue_wake_next(q);
}


/* A request ------------------------------------------------------------------------------------- */

/* Returns the queue for a statement to the caller's database, or NULL where it is not batched:
 * pipelining is off, or httpd itself is the caller. Its statements, such as those of Builds, have
 * time and may be large. */
static sf_batch_queue *queue_for(const sf_caller *caller, sf_statement_id id)
{
    const int database = sf_config_database(caller->server);
    sf_batch_queue *queues = sf_statements[id].kind == SF_SHORT_WRITE ? write_queues : read_queues;

    return queues && caller->r && database > 0 ? &queues[database] : NULL;
}

/* Whether a request should wait here rather than take a connection of the pool at once. */
static int is_worthwhile(const sf_batch_queue *q)
{
    if (q->closed || apr_time_now() < q->retry_at
        || !sf_reachability_is_responsive(sf_config_database(q->connection.server))) {
        return 0;
    }
    return !q->has_leader
           || (!sf_batch_queue_is_stalled(q)
               && q->waiters + sf_connection_limit_in_use() >= BATCH_MIN_WAITERS);
}

/* Waits to be woken by the leader, or until the statement may have to fall back. */
static void follow(sf_batch_queue *q, const sf_waiter *self)
{
    const apr_interval_time_t left
        = sf_batch_time_left(self->state == SF_WAITER_QUEUED ? self->since : q->last_activity);

    apr_thread_cond_timedwait(self->wake, q->mutex, left > 0 ? left : sf_batch_timeout());
}

/* Returns the result of a waiter that has left, with its rows. Logs an error of the statement's
 * own. */
static sf_db_result conclude(const sf_caller *caller, const sf_waiter *left, sf_rows **rows)
{
    sf_db_result result = left->outcome;
    char *text;

    if (result != SF_DB_OK) {
        return result;
    }
    if (PQresultStatus(left->answer) == PGRES_TUPLES_OK) {
        *rows = sf_rows_of_libpq(caller->pool, left->answer, &left->database);
        return SF_DB_OK;
    }
    text = apr_pstrdup(caller->pool, PQresultErrorMessage(left->answer));
    PQclear(left->answer);
    result = sf_db_result_of_error(text);
    sf_db_log_failure(caller, left->preparation_error ? "preparing" : "executing",
                      sf_statements[left->id].name, text);
    return result;
}

sf_db_result sf_batch_run(const sf_caller *caller, sf_statement_id id, const char *const *values,
                          sf_rows **rows)
{
    sf_batch_queue *q = queue_for(caller, id);
    sf_waiter *self;
    sf_waiter left;

    if (!q) {
        return SF_DB_NOT_RUN;
    }
    apr_thread_mutex_lock(q->mutex);
    self = is_worthwhile(q) ? sf_batch_queue_enter(q, id, values) : NULL;
    if (!self) {
        apr_thread_mutex_unlock(q->mutex);
        return SF_DB_NOT_RUN;
    }
    do {
        if (q->has_leader) {
            follow(q, self);
        }
        else {
            lead(q, caller, self);
        }
    } while (self->state != SF_WAITER_COMPLETED && !sf_waiter_should_fall_back(q, self));
    left = sf_batch_queue_leave(q, self);
    apr_thread_mutex_unlock(q->mutex);
    if (left.sent_at > 0) {
        sf_metrics_observe(caller, SF_HISTOGRAM_QUEUE, left.sent_at - left.since);
    }
    return conclude(caller, &left, rows);
}


/* A child's life -------------------------------------------------------------------------------- */

/* Closes the connection of a queue that is idle, as its leader: requests fall back or wait
 * meanwhile. */
static void close_idle(sf_batch_queue *q, apr_interval_time_t limit)
{
    apr_thread_mutex_lock(q->mutex);
    if (!q->closed && !q->has_leader && q->waiters == 0 && q->batch_size == 0
        && q->connection.session && apr_time_now() - q->last_activity >= limit) {
        q->has_leader = 1;
        apr_thread_mutex_unlock(q->mutex);
        sf_pipeline_close(&q->connection);
        apr_thread_mutex_lock(q->mutex);
        q->has_leader = 0;
        sf_batch_queue_wake_next(q);
    }
    apr_thread_mutex_unlock(q->mutex);
}

void sf_batch_close_idle(int database, apr_interval_time_t limit)
{
    if (read_queues && write_queues) {
        close_idle(&read_queues[database], limit);
        close_idle(&write_queues[database], limit);
    }
}

/* Gives the connection back before mod_dbd destroys its pool, which asserts that it has all
 * connections. The threads that serve requests have ended by then; a leader that is left over is
 * waited for as long as a request may take. */
static apr_status_t close_queue(void *data)
{
    const apr_time_t deadline = apr_time_now() + sf_config_db_timeout();
    sf_batch_queue *q = data;

    apr_thread_mutex_lock(q->mutex);
    q->closed = 1;
    while (q->has_leader && apr_time_now() < deadline) {
        apr_thread_mutex_unlock(q->mutex);
        apr_sleep(apr_time_from_msec(10));
        apr_thread_mutex_lock(q->mutex);
    }
    if (!q->has_leader) {
        sf_pipeline_close(&q->connection);
    }
    apr_thread_mutex_unlock(q->mutex);
    return APR_SUCCESS;
}

static apr_status_t init_queue(apr_pool_t *pool, server_rec *s, int writes, sf_batch_queue *q)
{
    apr_status_t rv = apr_thread_mutex_create(&q->mutex, APR_THREAD_MUTEX_DEFAULT, pool);

    if (rv == APR_SUCCESS) {
        rv = apr_pool_create(&q->pool, pool);
    }
    q->connection.server = s;
    q->connection.writes = writes;
    q->end = &q->first;
    q->batch_limit = SF_BATCH_MAX;
    if (rv == APR_SUCCESS) {
        apr_pool_pre_cleanup_register(pool, q, close_queue);
    }
    return rv;
}

/* Makes one queue for each database. */
static apr_status_t init_queues(apr_pool_t *pool, server_rec *s, int writes,
                                sf_batch_queue **queues)
{
    apr_status_t rv = APR_SUCCESS;
    sf_batch_queue *made;
    server_rec *each;

    made = apr_pcalloc(pool, sizeof(*made) * (apr_size_t)(sf_config_databases(s) + 1));
    for (each = sf_config_next_database(s); each && rv == APR_SUCCESS;
         each = sf_config_next_database(each->next)) {
        rv = init_queue(pool, each, writes, &made[sf_config_database(each)]);
    }
    if (rv == APR_SUCCESS) {
        *queues = made;
    }
    return rv;
}

apr_status_t sf_batch_init(apr_pool_t *pool, server_rec *s)
{
    const apr_status_t rv = init_queues(pool, s, 0, &read_queues);

    return rv == APR_SUCCESS ? init_queues(pool, s, 1, &write_queues) : rv;
}
