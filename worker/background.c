#include "worker/background.h"

#include "core/config.h"

#include <ap_mpm.h>
#include <apr_atomic.h>

/* How long a child waits for its threads, and how often it looks for them meanwhile. */
#define STOP_LIMIT apr_time_from_sec(10)
#define STOP_SLICE apr_time_from_msec(10)

/* How many threads are at work, and whether none may begin any more. Whoever begins looks after it has
 * been counted, and who stops counts after it has said so: one of the two sees the other. */
static volatile apr_uint32_t busy;
static volatile apr_uint32_t stopped;

/* mod_watchdog calls this. */
static apr_status_t run(int state, void *data, apr_pool_t *pool)
{
    sf_background_task *watched = data;

    apr_atomic_inc32(&busy);
    if (state == AP_WATCHDOG_STATE_RUNNING && !apr_atomic_read32(&stopped)) {
        watched->look(watched, pool);
    }
    apr_atomic_dec32(&busy);
    return APR_SUCCESS;
}

apr_status_t sf_background_add(const char *name, sf_background_step *look, apr_size_t size,
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
        sf_background_task *watched = apr_pcalloc(pconf, size);

        watched->server = s;
        watched->look = look;
        rv = add(watchdog, AP_WD_TM_SLICE, watched, run);
    }
    return rv;
}

void sf_background_stop(apr_pool_t *pool, int graceful)
{
    const apr_time_t limit = apr_time_now() + STOP_LIMIT;

    (void)pool;
    (void)graceful;
    apr_atomic_set32(&stopped, 1);
    while (apr_atomic_read32(&busy) > 0 && apr_time_now() < limit) {
        apr_sleep(STOP_SLICE);
    }
}

int sf_background_stopping(void)
{
    int state;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING;
}
