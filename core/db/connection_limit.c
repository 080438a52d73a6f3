#include "core/db/connection_limit.h"

#include "core/metrics.h"

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

/* The threads that wait for a permit of one class. */
typedef struct {
    apr_thread_cond_t *wake;
    int waiters;
} wait_queue;

/* The child's semaphore. The mutex guards all of it. */
static struct {
    apr_thread_mutex_t *mutex;
    int total;
    int available;
    int available_long_running; /* how many of these may go to long-running statements */
    wait_queue queues[2];       /* by `long_running` */
} permits;

apr_status_t sf_connection_limit_init(apr_pool_t *pool, int total)
{
    apr_status_t rv = apr_thread_mutex_create(&permits.mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    int i;

    for (i = 0; i < 2 && rv == APR_SUCCESS; i++) {
        rv = apr_thread_cond_create(&permits.queues[i].wake, pool);
    }
    permits.total = permits.available = total;
    permits.available_long_running = total > 1 ? total / 2 : 1;
    return rv;
}

static int is_available(int long_running)
{
    return permits.available > 0 && (!long_running || permits.available_long_running > 0);
}

/* Wakes one waiter that can have a permit; the others would only wait again. Long-running
 * statements go first, because they can never take all permits. */
static void wake_one(void)
{
    int long_running;

    for (long_running = 1; long_running >= 0; long_running--) {
        if (permits.queues[long_running].waiters > 0 && is_available(long_running)) {
            apr_thread_cond_signal(permits.queues[long_running].wake);
            return;
        }
    }
}

/* Called with the mutex held. Returns APR_SUCCESS where a permit is available, or why it is not. */
static apr_status_t wait_for_permit(apr_time_t deadline, int long_running)
{
    wait_queue *queue = &permits.queues[long_running];
    apr_status_t rv = APR_SUCCESS;

    queue->waiters++;
    while (!is_available(long_running) && rv == APR_SUCCESS) {
        const apr_time_t now = apr_time_now();

        rv = now < deadline ? apr_thread_cond_timedwait(queue->wake, permits.mutex, deadline - now)
                            : APR_TIMEUP;
    }
    queue->waiters--;
    /* a permit released at the last moment counts */
    return is_available(long_running) ? APR_SUCCESS : rv;
}

/* Tells the metrics how many permits are in use. Called with the mutex held. */
static void show_in_use(void)
{
    sf_metrics_set(SF_GAUGE_CONNECTIONS_IN_USE, permits.total - permits.available);
}

apr_status_t sf_connection_limit_acquire(apr_interval_time_t timeout, int long_running,
                                         apr_interval_time_t *waited)
{
    apr_status_t rv = APR_SUCCESS;

    *waited = 0;

    if (!permits.queues[1].wake) {
        return APR_EINIT; /* SF0006 is in the error log */
    }
    apr_thread_mutex_lock(permits.mutex);
    if (!is_available(long_running)) {
        const apr_time_t began = apr_time_now();

        rv = wait_for_permit(began + timeout, long_running);
        *waited = apr_time_now() - began;
    }
    if (rv == APR_SUCCESS) {
        permits.available--;
        if (long_running) {
            permits.available_long_running--;
        }
        show_in_use();
    }
    wake_one(); /* two permits may have been released before the first waiter that was woken ran */
    apr_thread_mutex_unlock(permits.mutex);
    return rv;
}

void sf_connection_limit_release(int long_running)
{
    apr_thread_mutex_lock(permits.mutex);
    permits.available++;
    if (long_running) {
        permits.available_long_running++;
    }
    show_in_use();
    wake_one();
    apr_thread_mutex_unlock(permits.mutex);
}

int sf_connection_limit_is_available(void)
{
    int available;

    apr_thread_mutex_lock(permits.mutex);
    available = is_available(0);
    apr_thread_mutex_unlock(permits.mutex);
    return available;
}

int sf_connection_limit_in_use(void)
{
    int in_use;

    apr_thread_mutex_lock(permits.mutex);
    in_use = permits.total - permits.available;
    apr_thread_mutex_unlock(permits.mutex);
    return in_use;
}
