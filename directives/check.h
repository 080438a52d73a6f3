/* The checks of the configuration as a whole, which `apachectl configtest` runs, too. */
#ifndef SF_CHECK_H
#define SF_CHECK_H

#include <httpd.h>

/* Hook check_config: checks for each virtual host with the API or with
 * ServerlessExecution that mod_dbd and mod_watchdog are
 * loaded, the driver is pgsql and the limits of the pool agree. Numbers the databases
 * (sf_config_database()) and resolves the number of connections (sf_config_resolve()). Returns
 * OK, or HTTP_INTERNAL_SERVER_ERROR with an error message in the log. */
int sf_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

#endif
