#include "status/request_log.h"

#include "core/config.h"
#include "core/log.h"
#include "core/metrics.h"
#include "handlers/routes.h"
#include "runtime/domains/hooks.h"

#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>

APLOG_USE_MODULE(serverless_functions);

/* Returns the text of a request's operation. */
static const char *operation_text(request_rec *r, int operation)
{
    if (operation == SF_OPERATION_DOMAIN) {
        return "domain";
    }
    return apr_pstrcat(r->pool, r->method, " ",
                       operation > 0 ? sf_routes[operation - 1].pattern : "none", NULL);
}

static void set_notes(request_rec *r, const sf_request_parts *parts)
{
    apr_table_setn(r->notes, "serverless-operation", operation_text(r, parts->operation));
    apr_table_setn(r->notes, "serverless-statements", apr_itoa(r->pool, parts->statements));
    apr_table_setn(r->notes, "serverless-database-time",
                   apr_psprintf(r->pool, "%" APR_TIME_T_FMT, parts->database));
    apr_table_setn(r->notes, "serverless-queue-time",
                   apr_psprintf(r->pool, "%" APR_TIME_T_FMT, parts->queue));
}

static void log_parts(request_rec *r, const sf_request_parts *parts, apr_interval_time_t duration)
{
    const sf_caller caller = sf_caller_of(r);

    sf_log(&caller, APLOG_DEBUG, "SF0106",
           "%s: %d in %" APR_TIME_T_FMT " us, of which %d statements %" APR_TIME_T_FMT
           " us, of which waits %" APR_TIME_T_FMT " us",
           operation_text(r, parts->operation), r->status, duration, parts->statements,
           parts->database, parts->queue);
}

int sf_request_log(request_rec *r)
{
    const int is_domain = sf_domains_own(r);
    apr_interval_time_t duration;
    sf_request_parts *parts;

    if (!is_domain && !sf_config_serves_api(r)) {
        return OK;
    }
    parts = &sf_request_of(r)->parts;
    if (is_domain) {
        parts->operation = SF_OPERATION_DOMAIN;
    }
    duration = apr_time_now() - r->request_time;
    sf_metrics_add_response(r->status);
    sf_metrics_add_request(parts->operation, r->status, duration);
    if (sf_config_has_notes()) {
        set_notes(r, parts);
    }
    if (APLOG_R_IS_LEVEL(r, APLOG_DEBUG)) {
        log_parts(r, parts, duration);
    }
    return OK;
}
