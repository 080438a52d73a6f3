#include "core/db_pipeline.h"

#include "core/config.h"
#include "core/db_line.h"
#include "core/db_rows.h"
#include "core/gate.h"
#include "core/log.h"

#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <http_config.h>
#include <http_log.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

/* How long a request waits until its statement is sent, and from then on for any sign of life. */
#define PATIENCE apr_time_from_msec(50)

/* How long what is sent together should take. */
#define BATCH_TIME apr_time_from_msec(10)

/* Fewer than these gain nothing by going together: it is quicker to go side by side. */
#define FEW 4

/* How long no connection is tried where there was none. */
#define REST apr_time_from_sec(1)

typedef enum { QUEUED, SENDING, SENT, SETTLED } seat_state;

/* Where a request waits. There are as many as were ever needed at once. */
typedef struct seat {
    struct seat *next; /* in the queue, or of those that are free */
    apr_thread_cond_t *wake;
    seat_state state;
    apr_time_t since;
    sf_statement_id id;
    const char *const *values;
    sf_db_result outcome;
    PGresult *result; /* where that is SF_DB_OK: what PostgreSQL said, rows or an error */
    int unprepared;   /* the error is of preparing it */
    sf_db_state database;
} seat;

/* One of the requests that wait leads: it alone uses the line, and what else is called the leader's.
 * Everything else is guarded by the mutex, which nobody holds while waiting for the database; what
 * only the leader writes (sent, heard, its own seat) it reads without. While a seat is SENDING the
 * leader reads what the seat points to, and the request must stay; at any other time it may leave.
 *
 * Who finds nobody leading leads. Who ends leading, or leaves where nobody leads, wakes another. */
typedef struct {
    apr_pool_t *pool;
    apr_thread_mutex_t *mutex;
    int led;
    int closed;
    seat *free;
    seat *first; /* the queue */
    seat **end;
    apr_time_t away_until; /* no connection was to be had */
    apr_time_t heard;      /* the last sign of life, or when there began something to wait for */
    int sent; /* how many statements are under way, and whose; NULL: nobody's any more */
    seat *batch[SF_LINE_MOST];
    int last; /* how many there were in the last batch */

    /* the leader's */
    sf_line line;
    apr_time_t begun;
    int settled; /* so many of the batch have been told */
    int limit;   /* how many the next batch may have */
    int complained;
} pipeline;

/* For reads and for writes, by the number of the database, of which 0 is none. */
static pipeline *pipelines[2];

static apr_interval_time_t patience(void)
{
    return sf_db_timeout() < PATIENCE ? sf_db_timeout() : PATIENCE;
}

/* How much of it is left. */
static apr_interval_time_t left_since(apr_time_t begun)
{
    const apr_interval_time_t left = begun + patience() - apr_time_now();

    return left <= 0 ? 0 : left < patience() ? left : patience();
}


/* Seats and batches, with the mutex held --------------------------------------------------------- */

static void enqueue(pipeline *p, seat *seat)
{
    seat->state = QUEUED;
    seat->next = NULL;
    *p->end = seat;
    p->end = &seat->next;
}

/* The first in the queue leaves it. */
static seat *dequeue(pipeline *p)
{
    seat *seat = p->first;

    p->first = seat->next;
    if (!p->first) {
        p->end = &p->first;
    }
    return seat;
}

static void unqueue(pipeline *p, const seat *seat)
{
    struct seat **at = &p->first;

    while (*at != seat) {
        at = &(*at)->next;
    }
    *at = seat->next;
    if (!*at) {
        p->end = at;
    }
}

static void settle(seat *seat, sf_db_result outcome)
{
    seat->state = SETTLED;
    seat->outcome = outcome;
}

static void fill_batch(pipeline *p)
{
    while (p->first && p->sent < p->limit) {
        seat *seat = dequeue(p);

        seat->state = SENDING;
        sf_line_add(&p->line, seat->id, seat->values);
        p->batch[p->sent++] = seat;
    }
    p->settled = p->complained = 0;
    p->begun = p->heard = apr_time_now();
}

static void mark_sent(pipeline *p)
{
    int i;

    for (i = 0; i < p->sent; i++) {
        p->batch[i]->state = SENT;
    }
}

/* What has not run, or was undone, waits to be sent again, unless it was the batch's opening or its end
 * that failed, which they might again. Returns whom to wake, or NULL. */
static seat *put_off(pipeline *p, seat *seat)
{
    if (!sf_line_opening_error(&p->line) && !p->line.uncommitted) {
        enqueue(p, seat);
        return NULL;
    }
    settle(seat, SF_DB_NOT_RUN);
    return seat;
}

/* What a statement's own answer says of it. */
static sf_db_result meaning_of(const PGresult *result)
{
    switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
        return SF_DB_OK;
    case PGRES_PIPELINE_ABORTED:
        return SF_DB_NOT_RUN;
    default:
        return sf_db_meaning(PQresultErrorMessage(result));
    }
}

/* Whether a statement goes into another batch: PostgreSQL has skipped it, or has undone it with those
 * that failed. */
static int is_undone(const pipeline *p, const sf_line_statement *answered)
{
    const ExecStatusType status = PQresultStatus(answered->result);

    return status == PGRES_PIPELINE_ABORTED
           || (p->line.writes && status == PGRES_TUPLES_OK && !p->line.done);
}

/* Hands over the answer to a statement. Returns whom to wake, or NULL. */
static seat *hand_over(pipeline *p, seat *seat, const sf_line_statement *answered)
{
    const sf_db_result meaning = meaning_of(answered->result);

    p->line.stale |= meaning == SF_DB_FORGOTTEN;
    if (!seat || is_undone(p, answered)) {
        PQclear(answered->result);
        return seat ? put_off(p, seat) : NULL;
    }
    if (p->line.writes && meaning == SF_DB_NOT_RUN) { /* a lock was held: it has the time to wait */
        PQclear(answered->result);
        settle(seat, SF_DB_NOT_RUN);
        return seat;
    }
    seat->result = answered->result;
    seat->unprepared = answered->unprepared;
    seat->database = p->line.session->state;
    settle(seat, SF_DB_OK);
    return seat;
}

/* Wakes one who waits, who then leads. */
static void call_next(const pipeline *p)
{
    int i;

    for (i = p->settled; i < p->sent; i++) {
        if (p->batch[i]) {
            apr_thread_cond_signal(p->batch[i]->wake);
            return;
        }
    }
    if (p->first) {
        apr_thread_cond_signal(p->first->wake);
    }
}

/* Whether there has been nothing to hear for too long. */
static int is_silent(const pipeline *p)
{
    return (p->led || p->sent > 0) && left_since(p->heard) == 0;
}

/* Whether this request has to wait for its answer. What was sent by itself takes its time, and would do
 * so anywhere. Of what writes, nobody knows whether it will be done. */
static int must_stay(const pipeline *p, const seat *me)
{
    return me->state == SENT && (p->sent == 1 || p->line.writes);
}

/* Whether the other way is open, or has been waited for as long as anything is. */
static int is_elsewhere_room(const seat *me)
{
    return sf_gate_has_place() || apr_time_now() - me->since > sf_db_timeout();
}

/* Whether this request should rather go the other way. */
static int is_impatient(const pipeline *p, const seat *me)
{
    switch (me->state) {
    case QUEUED:
        return (p->sent > 0 && is_silent(p))
               || (left_since(me->since) == 0 && is_elsewhere_room(me));
    case SENT:
        return !must_stay(p, me) && (is_silent(p) || apr_time_now() - me->since > sf_db_timeout());
    default:
        return 0;
    }
}


/* Leading --------------------------------------------------------------------------------------- */

/* No connection: all go the other way, and later ones do not even try for a while. */
static void turn_away(pipeline *p)
{
    apr_thread_mutex_lock(p->mutex);
    p->away_until = apr_time_now() + REST;
    while (p->first) {
        seat *seat = dequeue(p);

        settle(seat, SF_DB_NOT_RUN);
        apr_thread_cond_signal(seat->wake);
    }
    apr_thread_mutex_unlock(p->mutex);
}

static void send_batch(pipeline *p)
{
    apr_thread_mutex_lock(p->mutex);
    fill_batch(p);
    apr_thread_mutex_unlock(p->mutex);
    sf_line_send(&p->line);
    apr_thread_mutex_lock(p->mutex);
    mark_sent(p);
    apr_thread_mutex_unlock(p->mutex);
}

/* The batch is answered as a whole. The next is as large as could be answered in BATCH_TIME. */
static void end_batch(pipeline *p)
{
    const apr_interval_time_t took = p->heard - p->begun;

    if (took > BATCH_TIME) {
        p->limit = (int)(p->sent * BATCH_TIME / took);
        p->limit = p->limit > 0 ? p->limit : 1;
    }
    else if (p->sent == p->limit) {
        p->limit = p->limit * 2 < SF_LINE_MOST ? p->limit * 2 : SF_LINE_MOST;
    }
    p->last = p->sent;
    p->sent = 0;
    sf_line_end(&p->line, p->settled);
}

/* The connection is lost, and with it what has no answer. Returns how many requests `told` names. */
static int lose_batch(pipeline *p, seat **told)
{
    int count = 0;

    sf_line_end(&p->line, p->settled);
    for (; p->settled < p->sent; p->settled++) {
        if (p->batch[p->settled]) {
            told[count] = p->batch[p->settled];
            settle(told[count++], SF_DB_CONNECTION_LOST);
        }
    }
    p->sent = 0;
    return count;
}

/* None of the batch has run, and none would in the next one on this session. */
static void notice_opening_error(pipeline *p, const sf_caller *caller)
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
static int take_news(pipeline *p, sf_line_news news, seat **told, int *lost)
{
    const int counts = !p->line.writes || news == SF_LINE_ALL;
    int count = 0;

    *lost = 0;
    p->heard = apr_time_now();
    for (; counts && p->settled < p->line.answered; p->settled++) {
        told[count] = hand_over(p, p->batch[p->settled], &p->line.batch[p->settled]);
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
static void tell(pipeline *p, const sf_caller *caller, sf_line_news news)
{
    seat *told[SF_LINE_MOST];
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

static void work(pipeline *p, const sf_caller *caller, const seat *me)
{
    sf_line_news news;

    if (p->sent == 0) {
        if (!sf_line_ready(&p->line, caller)) {
            turn_away(p);
            return;
        }
        send_batch(p);
    }
    news = sf_line_read(&p->line, must_stay(p, me) ? patience() : left_since(p->heard));
    if (news != SF_LINE_NOTHING) {
        tell(p, caller, news);
    }
}

/* Uses the connection for all until the own request has its answer. Takes the mutex as it is held,
 * and returns so. */
static void lead(pipeline *p, const sf_caller *caller, const seat *me)
{
    p->led = 1;
    if (p->sent == 0) {
        p->heard = apr_time_now();
    }
    apr_thread_mutex_unlock(p->mutex);
    do {
        work(p, caller, me);
    } while (me->state != SETTLED && !is_impatient(p, me));
    if (p->sent > 1 && !p->line.writes && is_silent(p) && !p->complained) {
        p->complained = 1;
        sf_log(caller, APLOG_INFO, "SF0031",
               "no answer for %d ms to %d statements sent together: others take another connection",
               (int)apr_time_as_msec(patience()), p->sent - p->settled);
    }
    apr_thread_mutex_lock(p->mutex);
    p->led = 0;
    call_next(p);
}


/* A request ------------------------------------------------------------------------------------- */

/* The pipeline to its database. What httpd does for itself, such as Builds, has time, and may be
 * large: that goes the other way. */
static pipeline *pipeline_of(const sf_caller *caller, sf_statement_id id)
{
    const int database = sf_server_config_of(caller->server)->database;
    pipeline *all = pipelines[sf_statements[id].kind == SF_SHORT_WRITE];

    return all && caller->r && database > 0 ? &all[database] : NULL;
}

/* Whether to go this way, or the other one at once. */
static int is_worthwhile(const pipeline *p)
{
    if (p->closed || apr_time_now() < p->away_until) {
        return 0;
    }
    return !p->led || (!is_silent(p) && (p->last >= FEW || !sf_gate_has_place()));
}

static seat *sit_down(pipeline *p, sf_statement_id id, const char *const *values)
{
    seat *me = p->free;

    if (me) {
        p->free = me->next;
    }
    else {
        me = apr_pcalloc(p->pool, sizeof(*me));
        if (apr_thread_cond_create(&me->wake, p->pool) != APR_SUCCESS) {
            return NULL;
        }
    }
    me->since = apr_time_now();
    me->id = id;
    me->values = values;
    enqueue(p, me);
    return me;
}

static void wait_in(pipeline *p, seat *me)
{
    const apr_interval_time_t left = left_since(me->state == QUEUED ? me->since : p->heard);

    apr_thread_cond_timedwait(me->wake, p->mutex, left > 0 ? left : patience());
}

/* Leaves the seat, with the answer or without. Returns what was in it. */
static seat get_up(pipeline *p, seat *me)
{
    seat left;
    int i;

    if (me->state == QUEUED) {
        unqueue(p, me);
    }
    for (i = p->settled; me->state == SENT && i < p->sent; i++) {
        if (p->batch[i] == me) {
            p->batch[i] = NULL;
        }
    }
    if (me->state != SETTLED) {
        settle(me, SF_DB_NOT_RUN);
        if (!p->led) {
            call_next(p); /* it might have been this one who was to lead */
        }
    }
    left = *me;
    me->next = p->free;
    p->free = me;
    return left;
}

static sf_db_result outcome_of(const sf_caller *caller, const seat *me, sf_rows **rows)
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
    result = sf_db_meaning(text);
    sf_db_log_failure(caller, me->unprepared ? "preparing" : "executing",
                      sf_statements[me->id].name, text);
    return result;
}

sf_db_result sf_pipeline_run(const sf_caller *caller, sf_statement_id id, const char *const *values,
                             sf_rows **rows)
{
    pipeline *p = pipeline_of(caller, id);
    seat *me;
    seat left;

    if (!p) {
        return SF_DB_NOT_RUN;
    }
    apr_thread_mutex_lock(p->mutex);
    me = is_worthwhile(p) ? sit_down(p, id, values) : NULL;
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
    } while (me->state != SETTLED && !is_impatient(p, me));
    left = get_up(p, me);
    apr_thread_mutex_unlock(p->mutex);
    return outcome_of(caller, &left, rows);
}


/* A child's life -------------------------------------------------------------------------------- */

/* Before mod_dbd destroys its pool, which insists on having all connections back. The threads that
 * serve requests have ended by then; should one be left, it is given the time of a request. */
static apr_status_t close_pipeline(void *data)
{
    const apr_time_t latest = apr_time_now() + sf_db_timeout();
    pipeline *p = data;

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

static apr_status_t make_pipeline(apr_pool_t *pool, server_rec *s, int writes, pipeline *p)
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
    pipeline *made;
    server_rec *each;
    int last = 0;

    for (each = sf_next_database(s); each; each = sf_next_database(each->next)) {
        last = sf_server_config_of(each)->database;
    }
    made = apr_pcalloc(pool, sizeof(*made) * (last + 1));
    for (each = sf_next_database(s); each && rv == APR_SUCCESS;
         each = sf_next_database(each->next)) {
        rv = make_pipeline(pool, each, writes, &made[sf_server_config_of(each)->database]);
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
