/* What can be told wrong before the server starts, so that `apachectl configtest` tells it. */
#ifndef SF_CHECK_H
#define SF_CHECK_H

#include <httpd.h>

/* Hook check_config: mod_dbd is loaded, its driver is pgsql and its pool can work, for each virtual
 * host that has the API. Logs what is wrong and returns HTTP_INTERNAL_SERVER_ERROR, else OK. Also
 * settles how many connections a child uses. */
int sf_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

#endif
