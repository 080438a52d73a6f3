/* Threads of mod_watchdog's, for what httpd's children do in the background. */
#ifndef SF_WATCHDOG_H
#define SF_WATCHDOG_H

#include <httpd.h>
#include <mod_watchdog.h>

/* Has mod_watchdog call `look` ten times a second, with `s` as its data, in a thread called `name` in
 * each child, not in the parent. Called from post_config; returns APR_SUCCESS, APR_ENOTIMPL where
 * mod_watchdog is not loaded, or why it failed. */
apr_status_t sf_watchdog_add(const char *name, ap_watchdog_callback_fn_t *look, server_rec *s,
                             apr_pool_t *pconf);

/* Whether this child is about to end: what takes long should come to an end. */
int sf_watchdog_stopping(void);

#endif
