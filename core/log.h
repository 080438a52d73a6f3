/* Log lines: numbered, and with the request's id whatever ErrorLogFormat says. They never hold a
 * secret, a parameter or a name. */
#ifndef SF_LOG_H
#define SF_LOG_H

#include "core/caller.h"

/* Logs at `level` (APLOG_ERR, ...) under `number` ("SF0001"). */
void sf_log(const sf_caller *caller, int level, const char *number, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
