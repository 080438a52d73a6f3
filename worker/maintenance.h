/* Maintenance: a background task that keeps the database in order. The table serverless.maintenance
 * has its tasks and their periods; the first child on any node that finds a task due does it. */
#ifndef SF_MAINTENANCE_H
#define SF_MAINTENANCE_H

#include <httpd.h>

/* Registers maintenance. Called from post_config. Returns APR_SUCCESS, or the error of
 * sf_background_add(). */
apr_status_t sf_maintenance_register(apr_pool_t *pconf, server_rec *s);

#endif
