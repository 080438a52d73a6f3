/* The log: lines with a number and the request's id. A line never holds a secret, a parameter or
 * a name. */
#ifndef SF_LOG_H
#define SF_LOG_H

#include "core/caller.h"

/* Logs a line at `level` (APLOG_ERR, ...) under `number` ("SF0001"); docs/operations.md lists
 * the numbers. */
void sf_log(const sf_caller *caller, int level, const char *number, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
