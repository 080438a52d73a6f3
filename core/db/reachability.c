#include "core/db/reachability.h"

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

/* An attempt that fails in less time was refused, and has kept no thread from its work. */
#define REFUSED_WITHIN apr_time_from_msec(500)

/* After an attempt in vain, how long none is made. */
#define RETRY_INTERVAL apr_time_from_sec(1)

/* The most connections of mod_dbd's pool that wait to be given back. As many as permits are in use;
 * a further one is given back at once. */
#define RETURNED_MAX 64

typedef struct {
    server_rec *server;
    ap_dbd_t *dbd;
} returned_connection;

/* The mutex guards all of it. */
typedef struct {
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *done; /* the thread that was opening a connection has ended that */
    int opening;             /* a thread opens a connection */
    sf_db_reachability state;
    apr_time_t retry_at;
    returned_connection returned[RETURNED_MAX];
    int returned_count;
} record;

/* By the number of the database, which begins at 1. */
static record *records;

static void (*give_back)(server_rec *, ap_dbd_t *);

apr_status_t sf_reachability_init(apr_pool_t *pool, int databases)
{
    record *made = apr_pcalloc(pool, sizeof(*made) * (apr_size_t)(databases + 1));
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 1; i <= databases && rv == APR_SUCCESS; i++) {
        rv = apr_thread_mutex_create(&made[i].mutex, APR_THREAD_MUTEX_DEFAULT, pool);
        if (rv == APR_SUCCESS) {
            rv = apr_thread_cond_create(&made[i].done, pool);
        }
    }
    if (rv == APR_SUCCESS) {
        records = made;
    }
    return rv;
}

void sf_reachability_use(void (*close_connection)(server_rec *, ap_dbd_t *))
{
    give_back = close_connection;
}

/* Called with the mutex held. At most RETRY_INTERVAL, even where the clock was set back. */
static int is_refused(const record *r)
{
    const apr_interval_time_t left = r->retry_at - apr_time_now();

    return r->state == SF_DB_UNRESPONSIVE && (r->opening || (left > 0 && left <= RETRY_INTERVAL));
}

int sf_reachability_enter(int database, apr_interval_time_t timeout, int *doubted)
{
    const apr_time_t deadline = apr_time_now() + timeout;
    record *r = &records[database];
    apr_interval_time_t left = timeout;
    int entered;

    if (!records) {
        return 0; /* SF0006 is in the error log */
    }
    apr_thread_mutex_lock(r->mutex);
    while (r->opening && !is_refused(r) && left > 0) {
        apr_thread_cond_timedwait(r->done, r->mutex, left);
        left = deadline - apr_time_now();
    }
    entered = !r->opening && !is_refused(r);
    if (entered) {
        r->opening = 1;
        *doubted = r->state != SF_DB_RESPONSIVE;
    }
    apr_thread_mutex_unlock(r->mutex);
    return entered;
}

/* Called with the mutex held, which is released while mod_dbd is called. */
static void give_back_returned(record *r)
{
    while (r->returned_count > 0) {
        const returned_connection one = r->returned[--r->returned_count];

        apr_thread_mutex_unlock(r->mutex);
        give_back(one.server, one.dbd);
        apr_thread_mutex_lock(r->mutex);
    }
}

void sf_reachability_leave(int database, apr_time_t began, int opened)
{
    record *r = &records[database];
    const apr_time_t now = apr_time_now();

    apr_thread_mutex_lock(r->mutex);
    give_back_returned(r);
    r->state = opened ? SF_DB_RESPONSIVE : SF_DB_DOUBTED;
    if (!opened && now - began >= REFUSED_WITHIN) {
        r->state = SF_DB_UNRESPONSIVE;
        r->retry_at = now + RETRY_INTERVAL;
    }
    r->opening = 0;
    apr_thread_cond_broadcast(r->done);
    apr_thread_mutex_unlock(r->mutex);
}

void sf_reachability_doubt(int database)
{
    record *r = &records[database];

    apr_thread_mutex_lock(r->mutex);
    if (r->state == SF_DB_RESPONSIVE) {
        r->state = SF_DB_DOUBTED;
    }
    apr_thread_mutex_unlock(r->mutex);
}

int sf_reachability_is_responsive(int database)
{
    record *r = &records[database];
    int responsive;

    apr_thread_mutex_lock(r->mutex);
    responsive = r->state == SF_DB_RESPONSIVE;
    apr_thread_mutex_unlock(r->mutex);
    return responsive;
}

int sf_reachability_is_refused(int database)
{
    record *r = &records[database];
    int refused;

    if (!records) {
        return 1;
    }
    apr_thread_mutex_lock(r->mutex);
    refused = is_refused(r);
    apr_thread_mutex_unlock(r->mutex);
    return refused;
}

void sf_reachability_close(int database, server_rec *server, ap_dbd_t *dbd)
{
    record *r = &records[database];
    int parked;

    apr_thread_mutex_lock(r->mutex);
    parked = r->opening && r->returned_count < RETURNED_MAX;
    if (parked) {
        r->returned[r->returned_count++] = (returned_connection){ server, dbd };
    }
    apr_thread_mutex_unlock(r->mutex);
    if (!parked) {
        give_back(server, dbd);
    }
}
