#include "core/db/batch.h"

#include "core/config.h"
#include "core/db/batch_queue.h"
#include "core/db/connection_limit.h"
#include "core/db/result.h"
#include "core/log.h"

#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <http_config.h>
#include <http_log.h>

APLOG_USE_MODULE(serverless_functions);

/* How long what is sent together should take. */
#define BATCH_TIME apr_time_from_msec(10)

/* With fewer others than these there is nothing to gain by going together: side by side is quicker. */
#define FEW 3

/* How long no connection is tried where there was none. */
#define REST apr_time_from_sec(1)

/* For reads and for writes, by the number of the database, of which 0 is none. */
static sf_pipeline *pipelines[2];


/* Leading --------------------------------------------------------------------------------------- */

/* No connection: all go the other way, and later ones do not even try for a while. */
static void turn_away(sf_pipeline *p)
{
    apr_thread_mutex_lock(p->mutex);
    p->away_until = apr_time_now() + REST;
    while (p->first) {
        sf_seat *seat = sf_seats_dequeue(p);

        sf_seat_settle(seat, SF_DB_NOT_RUN);
        apr_thread_cond_signal(seat->wake);
    }
    apr_thread_mutex_unlock(p->mutex);
}

static void send_batch(sf_pipeline *p)
{
    apr_thread_mutex_lock(p->mutex);
    sf_seats_fill_batch(p);
    apr_thread_mutex_unlock(p->mutex);
    sf_line_send(&p->line);
    apr_thread_mutex_lock(p->mutex);
    sf_seats_mark_sent(p);
    apr_thread_mutex_unlock(p->mutex);
}

/* The batch is answered as a whole. The next is as large as could be answered in BATCH_TIME. */
static void end_batch(sf_pipeline *p)
{
    const apr_interval_time_t took = p->heard - p->begun;

    if (took > BATCH_TIME) {
        p->limit = (int)(p->sent * BATCH_TIME / took);
        p->limit = p->limit > 0 ? p->limit : 1;
    }
    else if (p->sent == p->limit) {
        p->limit = p->limit * 2 < SF_LINE_MOST ? p->limit * 2 : SF_LINE_MOST;
    }
    p->sent = 0;
    sf_line_end(&p->line);
}

/* The connection is lost, and with it what has no answer. Returns how many requests `told` names. */
static int lose_batch(sf_pipeline *p, sf_seat **told)
{
    int count = 0;

    sf_line_end(&p->line);
    for (; p->settled < p->sent; p->settled++) {
        if (p->batch[p->settled]) {
            told[count] = p->batch[p->settled];
            sf_seat_settle(told[count++], SF_DB_CONNECTION_LOST);
        }
    }
    p->sent = 0;
    return count;
}

/* None of the batch has run, and none would in the next one on this session. */
static void notice_opening_error(sf_pipeline *p, const sf_caller *caller)
{
    const PGresult *error = sf_line_opening_error(&p->line);

    if (error && !p->line.stale) {
        p->line.stale = 1;
        sf_db_log_failure(caller, "executing", sf_statements[SF_STATEMENT_CREDENTIALS_TAG].name,
                          apr_pstrdup(caller->pool, PQresultErrorMessage(error)));
    }
}

/* Takes what has come for requests. Returns how many requests `told` names, and in `lost`, how many of
 * them have lost their connection. */
static int take_news(sf_pipeline *p, sf_line_news news, sf_seat **told, int *lost)
{
    const int counts = !p->line.writes || news == SF_LINE_ALL;
    int count = 0;

    *lost = 0;
    p->heard = apr_time_now();
    for (; counts && p->settled < p->line.answered; p->settled++) {
        told[count] = sf_seats_hand_over(p, p->batch[p->settled], &p->line.batch[p->settled]);
        count += told[count] != NULL;
    }
    if (news == SF_LINE_ALL && p->settled == p->sent) {
        end_batch(p);
    }
    else if (news == SF_LINE_ALL || p->line.broken) {
        *lost = lose_batch(p, told + count);
    }
    return count + *lost;
}

/* Tells requests what has come for them. They are woken without the mutex, which they would only
 * have to wait for; a seat is there for ever, so that nothing is lost if one of them has gone. */
static void tell(sf_pipeline *p, const sf_caller *caller, sf_line_news news)
{
    sf_seat *told[SF_LINE_MOST];
    int count;
    int lost;

    notice_opening_error(p, caller);
    apr_thread_mutex_lock(p->mutex);
    count = take_news(p, news, told, &lost);
    apr_thread_mutex_unlock(p->mutex);
    while (count > 0) {
        apr_thread_cond_signal(told[--count]->wake);
    }
    if (lost > 0) {
        sf_log(caller, APLOG_ERR, "SF0030",
               "the connection was lost on which %d statements were under way together", lost);
    }
}

static void work(sf_pipeline *p, const sf_caller *caller, const sf_seat *me)
{
    sf_line_news news;

    if (p->sent == 0) {
        if (!sf_line_ready(&p->line, caller)) {
            turn_away(p);
            return;
        }
        send_batch(p);
    }
    news = sf_line_read(&p->line, sf_seat_must_stay(p, me) ? sf_seats_patience()
                                                           : sf_seats_left_since(p->heard));
    if (news != SF_LINE_NOTHING) {
        tell(p, caller, news);
    }
}

/* Uses the connection for all until the own request has its answer. Takes the mutex as it is held,
 * and returns so. */
static void lead(sf_pipeline *p, const sf_caller *caller, const sf_seat *me)
{
    p->led = 1;
    if (p->sent == 0) {
        p->heard = apr_time_now();
    }
    apr_thread_mutex_unlock(p->mutex);
    do {
        work(p, caller, me);
    } while (me->state != SF_SEAT_SETTLED && !sf_seat_is_impatient(p, me));
    if (p->sent > 1 && !p->line.writes && sf_seats_are_silent(p) && !p->complained) {
        p->complained = 1;
        sf_log(caller, APLOG_INFO, "SF0031",
               "no answer for %d ms to %d statements sent together: others take another connection",
               (int)apr_time_as_msec(sf_seats_patience()), p->sent - p->settled);
    }
    apr_thread_mutex_lock(p->mutex);
    p->led = 0;
    sf_seats_call_next(p);
}


/* A request ------------------------------------------------------------------------------------- */

/* The pipeline to its database. What httpd does for itself, such as Builds, has time, and may be
 * large: that goes the other way. */
static sf_pipeline *pipeline_of(const sf_caller *caller, sf_statement_id id)
{
    const int database = sf_config_database(caller->server);
    sf_pipeline *all = pipelines[sf_statements[id].kind == SF_SHORT_WRITE];

    return all && caller->r && database > 0 ? &all[database] : NULL;
}

/* Whether to go this way, or the other one at once. */
static int is_worthwhile(const sf_pipeline *p)
{
    if (p->closed || apr_time_now() < p->away_until) {
        return 0;
    }
    return !p->led || (!sf_seats_are_silent(p) && p->seated + sf_connection_limit_in_use() >= FEW);
}

static void wait_in(sf_pipeline *p, sf_seat *me)
{
    const apr_interval_time_t left
        = sf_seats_left_since(me->state == SF_SEAT_QUEUED ? me->since : p->heard);

    apr_thread_cond_timedwait(me->wake, p->mutex, left > 0 ? left : sf_seats_patience());
}

static sf_db_result outcome_of(const sf_caller *caller, const sf_seat *me, sf_rows **rows)
{
    sf_db_result result;
    char *text;

    if (me->outcome != SF_DB_OK) {
        return me->outcome;
    }
    if (PQresultStatus(me->result) == PGRES_TUPLES_OK) {
        *rows = sf_rows_of_libpq(caller->pool, me->result, &me->database);
        return SF_DB_OK;
    }
    text = apr_pstrdup(caller->pool, PQresultErrorMessage(me->result));
    PQclear(me->result);
    result = sf_db_result_of_error(text);
    sf_db_log_failure(caller, me->unprepared ? "preparing" : "executing",
                      sf_statements[me->id].name, text);
    return result;
}

sf_db_result sf_pipeline_run(const sf_caller *caller, sf_statement_id id, const char *const *values,
                             sf_rows **rows)
{
    sf_pipeline *p = pipeline_of(caller, id);
    sf_seat *me;
    sf_seat left;

    if (!p) {
        return SF_DB_NOT_RUN;
    }
    apr_thread_mutex_lock(p->mutex);
    me = is_worthwhile(p) ? sf_seat_take(p, id, values) : NULL;
    if (!me) {
        apr_thread_mutex_unlock(p->mutex);
        return SF_DB_NOT_RUN;
    }
    do {
        if (p->led) {
            wait_in(p, me);
        }
        else {
            lead(p, caller, me);
        }
    } while (me->state != SF_SEAT_SETTLED && !sf_seat_is_impatient(p, me));
    left = sf_seat_leave(p, me);
    apr_thread_mutex_unlock(p->mutex);
    return outcome_of(caller, &left, rows);
}


/* A child's life -------------------------------------------------------------------------------- */

/* Before mod_dbd destroys its pool, which insists on having all connections back. The threads that
 * serve requests have ended by then; should one be left, it is given the time of a request. */
static apr_status_t close_pipeline(void *data)
{
    const apr_time_t latest = apr_time_now() + sf_config_db_timeout();
    sf_pipeline *p = data;

    apr_thread_mutex_lock(p->mutex);
    p->closed = 1;
    while (p->led && apr_time_now() < latest) {
        apr_thread_mutex_unlock(p->mutex);
        apr_sleep(apr_time_from_msec(10));
        apr_thread_mutex_lock(p->mutex);
    }
    if (!p->led) {
        sf_line_close(&p->line);
    }
    apr_thread_mutex_unlock(p->mutex);
    return APR_SUCCESS;
}

static apr_status_t make_pipeline(apr_pool_t *pool, server_rec *s, int writes, sf_pipeline *p)
{
    apr_status_t rv = apr_thread_mutex_create(&p->mutex, APR_THREAD_MUTEX_DEFAULT, pool);

    if (rv == APR_SUCCESS) {
        rv = apr_pool_create(&p->pool, pool);
    }
    p->line.server = s;
    p->line.writes = writes;
    p->end = &p->first;
    p->limit = SF_LINE_MOST;
    if (rv == APR_SUCCESS) {
        apr_pool_pre_cleanup_register(pool, p, close_pipeline);
    }
    return rv;
}

static apr_status_t make_pipelines(apr_pool_t *pool, server_rec *s, int writes)
{
    apr_status_t rv = APR_SUCCESS;
    sf_pipeline *made;
    server_rec *each;
    int last = 0;

    for (each = sf_config_next_database(s); each; each = sf_config_next_database(each->next)) {
        last = sf_config_database(each);
    }
    made = apr_pcalloc(pool, sizeof(*made) * (last + 1));
    for (each = sf_config_next_database(s); each && rv == APR_SUCCESS;
         each = sf_config_next_database(each->next)) {
        rv = make_pipeline(pool, each, writes, &made[sf_config_database(each)]);
    }
    if (rv == APR_SUCCESS) {
        pipelines[writes] = made;
    }
    return rv;
}

apr_status_t sf_pipeline_init(apr_pool_t *pool, server_rec *s)
{
    const apr_status_t rv = make_pipelines(pool, s, 0);

    return rv == APR_SUCCESS ? make_pipelines(pool, s, 1) : rv;
}
