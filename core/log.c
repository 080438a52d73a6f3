#include "core/log.h"

#include "core/request_id.h"

#include <apr_strings.h>
#include <http_log.h>
#include <stdarg.h>

APLOG_USE_MODULE(serverless_functions);

void sf_log(const sf_caller *caller, int level, const char *number, const char *format, ...)
{
    va_list arguments;
    const char *text;

    if (!(caller->r ? APLOG_R_IS_LEVEL(caller->r, level) : APLOG_IS_LEVEL(caller->server, level))) {
        return;
    }
    va_start(arguments, format);
    text = apr_pvsprintf(caller->pool, format, arguments);
    va_end(arguments);
    if (caller->r) {
        ap_log_rerror(APLOG_MARK, level, 0, caller->r, "%s: %s: %s", number,
                      sf_request_id(caller->r), text);
    }
    else {
        ap_log_error(APLOG_MARK, level, 0, caller->server, "%s: %s", number, text);
    }
}
