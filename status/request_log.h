/* The parts of a request: counted in the metrics, as notes for LogFormat, and at level debug as a line of the error
 * log. */
#ifndef SF_REQUEST_LOG_H
#define SF_REQUEST_LOG_H

#include <httpd.h>

/* Hook log_transaction, before mod_log_config: counts a request to the API or to a domain, and sets its notes where the
 * configuration names them:
 *   serverless-operation      method and route, such as "GET /Services/{ZS}", or "domain"
 *   serverless-statements     the number of statements for the database
 *   serverless-database-time  their duration in microseconds
 *   serverless-queue-time     the part of it that was waiting, in microseconds */
int sf_request_log(request_rec *r);

#endif
