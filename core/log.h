/* The log: lines with a number and the request's id. A line never holds a secret, a parameter or
 * a name. */
#ifndef SF_LOG_H
#define SF_LOG_H

#include "core/caller.h"

/* Makes the child's record of limited lines. Called from child_init. Returns APR_SUCCESS or the
 * error of the mutex; without the record, no line is limited. */
apr_status_t sf_log_init(apr_pool_t *pool);

/* A line has the request's id once: of httpd, where ErrorLogFormat has %L, else of this module. */

/* Logs a line at `level` (APLOG_ERR, ...) under `number` ("SF0001"); docs/operations/messages.md lists
 * the numbers. */
void sf_log(const sf_caller *caller, int level, const char *number, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same for lines that an outage has each request write: of those with the same number and text,
 * a child logs one a second. The other ones are counted, and the next line, or sf_log_flush(), tells
 * their number. Lines of httpd itself, outside of requests, are not limited. */
void sf_log_limited(const sf_caller *caller, int level, const char *number, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Logs how many lines were left out more than a second ago, one line for each number and text.
 * Called about once a second, and as the child ends: then with `all`, for the last second, too. */
void sf_log_flush(const sf_caller *caller, int all);

#endif
