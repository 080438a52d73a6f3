/* Warnings about configurations that httpd accepts and an administrator hardly means. `apachectl configtest` shows
 * them, too. */
#ifndef SF_WARN_H
#define SF_WARN_H

#include <httpd.h>

/* Logs a warning for each of these, in the Locations with the API of a server:
 *   SF0101  AuthType Basic without AuthBasicProvider
 *   SF0102  no authentication
 *   SF0103  plain http at an address that other machines reach
 *   SF0104  a ServerlessBaseURL that ends with the Location's path */
void sf_warn_of_api(apr_pool_t *pool, server_rec *s);

/* Logs SF0100 for each virtual host with the API that uses DBDParams of the server config, where these stand more
 * than once or in the file of another virtual host with the API. */
void sf_warn_of_shared_databases(apr_pool_t *pool, server_rec *main_server);

#endif
