#include "worker/background.h"

#include "core/config.h"
#include "core/log.h"

#include <ap_mpm.h>
#include <apr_atomic.h>

/* How long a stopping child waits for running steps, and how often it counts them meanwhile. */
#define STOP_LIMIT apr_time_from_sec(10)
#define STOP_SLICE apr_time_from_msec(10)

/* The number of running steps, and whether further steps are refused. run_step() counts its step
 * before it reads `stopped`, and sf_background_stop() sets `stopped` before it reads the count:
 * no step is missed. */
static volatile apr_uint32_t running;
static volatile apr_uint32_t stopped;

/* Runs a step of a task. mod_watchdog calls this. */
static apr_status_t run_step(int state, void *data, apr_pool_t *pool)
{
    sf_background_task *task = data;
    const sf_caller caller = { pool, task->server, NULL };

    sf_log_flush(&caller, 0);
    apr_atomic_inc32(&running);
    if (state == AP_WATCHDOG_STATE_RUNNING && !apr_atomic_read32(&stopped)) {
        task->step(task, pool);
    }
    apr_atomic_dec32(&running);
    return APR_SUCCESS;
}

apr_status_t sf_background_add(const char *name, sf_background_step *step, apr_size_t size,
                               server_rec *s, apr_pool_t *pconf)
{
    APR_OPTIONAL_FN_TYPE(ap_watchdog_get_instance) *get
        = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_get_instance);
    APR_OPTIONAL_FN_TYPE(ap_watchdog_register_callback) *add
        = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_register_callback);
    ap_watchdog_t *watchdog;
    apr_status_t rv;

    if (!get || !add) {
        return APR_ENOTIMPL;
    }
    rv = get(&watchdog, name, 0, 0, pconf);
    for (s = sf_config_next_database(s); s && rv == APR_SUCCESS;
         s = sf_config_next_database(s->next)) {
        sf_background_task *task = apr_pcalloc(pconf, size);

        task->server = s;
        task->step = step;
        rv = add(watchdog, AP_WD_TM_SLICE, task, run_step);
    }
    return rv;
}

void sf_background_stop(apr_pool_t *pool, int graceful)
{
    const apr_time_t limit = apr_time_now() + STOP_LIMIT;

    (void)pool;
    (void)graceful;
    apr_atomic_set32(&stopped, 1);
    while (apr_atomic_read32(&running) > 0 && apr_time_now() < limit) {
        apr_sleep(STOP_SLICE);
    }
}

int sf_background_stopping(void)
{
    int state;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING;
}
