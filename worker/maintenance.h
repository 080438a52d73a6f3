/* Keeps the database in order, in the background, in httpd's children by mod_watchdog: tasks that are
 * due now and then (serverless.upkeep says when), whichever child on whichever node comes first. */
#ifndef SF_MAINTENANCE_H
#define SF_MAINTENANCE_H

#include <httpd.h>

/* Registers it. Called from post_config; returns APR_SUCCESS or why that failed. */
apr_status_t sf_maintenance_register(apr_pool_t *pconf, server_rec *s);

#endif
