#include "core/gate.h"

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

static struct {
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *place_free;
    int places;      /* that are free */
    int long_places; /* of these, what may be taken for long */
} gate;

apr_status_t sf_gate_init(apr_pool_t *pool, int places)
{
    apr_status_t rv = apr_thread_mutex_create(&gate.mutex, APR_THREAD_MUTEX_DEFAULT, pool);

    if (rv == APR_SUCCESS) {
        rv = apr_thread_cond_create(&gate.place_free, pool);
    }
    gate.places = places;
    gate.long_places = places > 1 ? places / 2 : 1;
    return rv;
}

static int is_open(int for_long)
{
    return gate.places > 0 && (!for_long || gate.long_places > 0);
}

apr_status_t sf_gate_enter(apr_interval_time_t timeout, int for_long)
{
    apr_time_t deadline = 0;
    apr_status_t rv = APR_SUCCESS;

    if (!gate.place_free) {
        return APR_EINIT; /* the error log has said why */
    }
    apr_thread_mutex_lock(gate.mutex);
    while (!is_open(for_long) && rv == APR_SUCCESS) {
        apr_time_t now = apr_time_now();

        deadline = deadline ? deadline : now + timeout;
        rv = now < deadline ? apr_thread_cond_timedwait(gate.place_free, gate.mutex, deadline - now)
                            : APR_TIMEUP;
        if (APR_STATUS_IS_TIMEUP(rv) && is_open(for_long)) {
            rv = APR_SUCCESS; /* freed at the last moment */
        }
    }
    if (rv == APR_SUCCESS) {
        gate.places--;
        gate.long_places -= for_long;
    }
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

void sf_gate_leave(int for_long)
{
    apr_thread_mutex_lock(gate.mutex);
    gate.places++;
    gate.long_places += for_long;
    apr_thread_cond_broadcast(gate.place_free); /* not each that waits may take it */
    apr_thread_mutex_unlock(gate.mutex);
}
