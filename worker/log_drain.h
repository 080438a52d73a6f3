/* The task that adds the log entries of calls to the database: four times a second, it takes them from the node's
 * spool (core/storage/log_spool.h). */
#ifndef SF_LOG_DRAIN_H
#define SF_LOG_DRAIN_H

#include <httpd.h>

/* Registers the task. Called from post_config, after sf_background_init(). */
void sf_log_drain_register(apr_pool_t *pconf, server_rec *s);

#endif
