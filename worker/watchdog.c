#include "worker/watchdog.h"

#include <ap_mpm.h>

apr_status_t sf_watchdog_add(const char *name, ap_watchdog_callback_fn_t *look, server_rec *s,
                             apr_pool_t *pconf)
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
    return rv == APR_SUCCESS ? add(watchdog, AP_WD_TM_SLICE, s, look) : rv;
}

int sf_watchdog_stopping(void)
{
    int state;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING;
}
