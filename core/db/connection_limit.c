#include "core/db/connection_limit.h"

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

/* Those who wait, and what wakes one of them. */
typedef struct {
    apr_thread_cond_t *wake;
    int waiting;
} queue;

static struct {
    apr_thread_mutex_t *mutex;
    int all;         /* places */
    int places;      /* that are free */
    int long_places; /* of these, what may be taken for long */
    queue queues[2]; /* for a short time, and for long */
} gate;

apr_status_t sf_gate_init(apr_pool_t *pool, int places)
{
    apr_status_t rv = apr_thread_mutex_create(&gate.mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    int i;

    for (i = 0; i < 2 && rv == APR_SUCCESS; i++) {
        rv = apr_thread_cond_create(&gate.queues[i].wake, pool);
    }
    gate.all = gate.places = places;
    gate.long_places = places > 1 ? places / 2 : 1;
    return rv;
}

static int is_open(int for_long)
{
    return gate.places > 0 && (!for_long || gate.long_places > 0);
}

/* Wakes one who may pass: all others would only wait again. Those for long go first, because they
 * can never take all places. */
static void wake_one(void)
{
    int for_long;

    for (for_long = 1; for_long >= 0; for_long--) {
        if (gate.queues[for_long].waiting > 0 && is_open(for_long)) {
            apr_thread_cond_signal(gate.queues[for_long].wake);
            return;
        }
    }
}

static apr_status_t wait_until(apr_time_t deadline, int for_long)
{
    queue *queue = &gate.queues[for_long];
    apr_status_t rv = APR_SUCCESS;

    queue->waiting++;
    while (!is_open(for_long) && rv == APR_SUCCESS) {
        const apr_time_t now = apr_time_now();

        rv = now < deadline ? apr_thread_cond_timedwait(queue->wake, gate.mutex, deadline - now)
                            : APR_TIMEUP;
    }
    queue->waiting--;
    return is_open(for_long) ? APR_SUCCESS : rv; /* it may have been freed at the last moment */
}

apr_status_t sf_gate_enter(apr_interval_time_t timeout, int for_long)
{
    apr_status_t rv = APR_SUCCESS;

    if (!gate.queues[1].wake) {
        return APR_EINIT; /* the error log has said why */
    }
    apr_thread_mutex_lock(gate.mutex);
    if (!is_open(for_long)) {
        rv = wait_until(apr_time_now() + timeout, for_long);
    }
    if (rv == APR_SUCCESS) {
        gate.places--;
        gate.long_places -= for_long;
    }
    wake_one(); /* two may have left before the first that was woken came here */
    apr_thread_mutex_unlock(gate.mutex);
    return rv;
}

int sf_gate_has_place(void)
{
    int has_place;

    apr_thread_mutex_lock(gate.mutex);
    has_place = is_open(0);
    apr_thread_mutex_unlock(gate.mutex);
    return has_place;
}

int sf_gate_taken(void)
{
    int taken;

    apr_thread_mutex_lock(gate.mutex);
    taken = gate.all - gate.places;
    apr_thread_mutex_unlock(gate.mutex);
    return taken;
}

void sf_gate_leave(int for_long)
{
    apr_thread_mutex_lock(gate.mutex);
    gate.places++;
    gate.long_places += for_long;
    wake_one();
    apr_thread_mutex_unlock(gate.mutex);
}
