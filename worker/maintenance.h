/* Maintenance: a background task that keeps the database in order. The table serverless.maintenance
 * has its tasks and their periods; the first node that finds a task due does it. */
#ifndef SF_MAINTENANCE_H
#define SF_MAINTENANCE_H

#include <httpd.h>

/* Registers maintenance. Called from post_config, after sf_background_init(). */
void sf_maintenance_register(apr_pool_t *pconf, server_rec *s);

#endif
