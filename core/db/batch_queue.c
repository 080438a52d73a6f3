#include "core/db/batch_queue.h"

#include "core/config.h"
#include "core/db/connection_limit.h"
#include "core/db/result.h"

#define PATIENCE apr_time_from_msec(50) /* unless requests have less */

apr_interval_time_t sf_seats_patience(void)
{
    return sf_config_db_timeout() < PATIENCE ? sf_config_db_timeout() : PATIENCE;
}

apr_interval_time_t sf_seats_left_since(apr_time_t begun)
{
    const apr_interval_time_t left = begun + sf_seats_patience() - apr_time_now();

    return left <= 0 ? 0 : left < sf_seats_patience() ? left : sf_seats_patience();
}


/* The queue and the batch ------------------------------------------------------------------------ */

static void enqueue(sf_pipeline *p, sf_seat *seat)
{
    seat->state = SF_SEAT_QUEUED;
    seat->next = NULL;
    *p->end = seat;
    p->end = &seat->next;
}

sf_seat *sf_seats_dequeue(sf_pipeline *p)
{
    sf_seat *seat = p->first;

    p->first = seat->next;
    if (!p->first) {
        p->end = &p->first;
    }
    return seat;
}

static void unqueue(sf_pipeline *p, const sf_seat *seat)
{
    sf_seat **at = &p->first;

    while (*at != seat) {
        at = &(*at)->next;
    }
    *at = seat->next;
    if (!*at) {
        p->end = at;
    }
}

void sf_seat_settle(sf_seat *seat, sf_db_result outcome)
{
    seat->state = SF_SEAT_SETTLED;
    seat->outcome = outcome;
}

void sf_seats_fill_batch(sf_pipeline *p)
{
    while (p->first && p->sent < p->limit) {
        sf_seat *seat = sf_seats_dequeue(p);

        seat->state = SF_SEAT_SENDING;
        sf_line_add(&p->line, seat->id, seat->values);
        p->batch[p->sent++] = seat;
    }
    p->settled = p->complained = 0;
    p->begun = p->heard = apr_time_now();
}

void sf_seats_mark_sent(sf_pipeline *p)
{
    int i;

    for (i = 0; i < p->sent; i++) {
        p->batch[i]->state = SF_SEAT_SENT;
    }
}

/* What has not run, or was undone, waits to be sent again, unless it was the batch's opening or its end
 * that failed, which they might again. Returns whom to wake, or NULL. */
static sf_seat *put_off(sf_pipeline *p, sf_seat *seat)
{
    if (!sf_line_opening_error(&p->line) && !p->line.uncommitted) {
        enqueue(p, seat);
        return NULL;
    }
    sf_seat_settle(seat, SF_DB_NOT_RUN);
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
        return sf_db_result_of_error(PQresultErrorMessage(result));
    }
}

/* Whether a statement goes into another batch: PostgreSQL has skipped it, or has undone it with those
 * that failed. */
static int is_undone(const sf_pipeline *p, const sf_line_statement *answered)
{
    const ExecStatusType status = PQresultStatus(answered->result);

    return status == PGRES_PIPELINE_ABORTED
           || (p->line.writes && status == PGRES_TUPLES_OK && !p->line.done);
}

sf_seat *sf_seats_hand_over(sf_pipeline *p, sf_seat *seat, sf_line_statement *answered)
{
    PGresult *result = answered->result;
    const sf_db_result meaning = meaning_of(result);
    const int undone = is_undone(p, answered);

    answered->result = NULL;
    p->line.stale |= meaning == SF_DB_INVALIDATED;
    if (!seat || undone) {
        PQclear(result);
        return seat ? put_off(p, seat) : NULL;
    }
    if (p->line.writes && meaning == SF_DB_NOT_RUN) { /* a lock was held: it has the time to wait */
        PQclear(result);
        sf_seat_settle(seat, SF_DB_NOT_RUN);
        return seat;
    }
    seat->result = result;
    seat->unprepared = answered->unprepared;
    seat->database = p->line.session->state;
    sf_seat_settle(seat, SF_DB_OK);
    return seat;
}

void sf_seats_call_next(const sf_pipeline *p)
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

int sf_seats_are_silent(const sf_pipeline *p)
{
    return (p->led || p->sent > 0) && sf_seats_left_since(p->heard) == 0;
}

int sf_seat_must_stay(const sf_pipeline *p, const sf_seat *me)
{
    return me->state == SF_SEAT_SENT && (p->sent == 1 || p->line.writes);
}

/* Whether the other way is open, or has been waited for as long as anything is. */
static int is_elsewhere_room(const sf_seat *me)
{
    return sf_connection_limit_is_available()
           || apr_time_now() - me->since > sf_config_db_timeout();
}

int sf_seat_is_impatient(const sf_pipeline *p, const sf_seat *me)
{
    switch (me->state) {
    case SF_SEAT_QUEUED:
        return (p->sent > 0 && sf_seats_are_silent(p))
               || (sf_seats_left_since(me->since) == 0 && is_elsewhere_room(me));
    case SF_SEAT_SENT:
        return !sf_seat_must_stay(p, me)
               && (sf_seats_are_silent(p) || apr_time_now() - me->since > sf_config_db_timeout());
    default:
        return 0;
    }
}


/* A seat ----------------------------------------------------------------------------------------- */

sf_seat *sf_seat_take(sf_pipeline *p, sf_statement_id id, const char *const *values)
{
    sf_seat *me = p->free;

    if (me) {
        p->free = me->next;
    }
    else {
        me = apr_pcalloc(p->pool, sizeof(*me));
        if (apr_thread_cond_create(&me->wake, p->pool) != APR_SUCCESS) {
            return NULL;
        }
    }
    p->seated++;
    me->since = apr_time_now();
    me->id = id;
    me->values = values;
    enqueue(p, me);
    return me;
}

sf_seat sf_seat_leave(sf_pipeline *p, sf_seat *me)
{
    sf_seat left;
    int i;

    if (me->state == SF_SEAT_QUEUED) {
        unqueue(p, me);
    }
    for (i = p->settled; me->state == SF_SEAT_SENT && i < p->sent; i++) {
        if (p->batch[i] == me) {
            p->batch[i] = NULL;
        }
    }
    if (me->state != SF_SEAT_SETTLED) {
        sf_seat_settle(me, SF_DB_NOT_RUN);
        if (!p->led) {
            sf_seats_call_next(p); /* it might have been this one who was to lead */
        }
    }
    p->seated--;
    left = *me;
    me->next = p->free;
    p->free = me;
    return left;
}
