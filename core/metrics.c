#include "core/metrics.h"

#include "core/log.h"

#include <apr_atomic.h>
#include <apr_strings.h>
#include <http_log.h>

static volatile apr_uint64_t counters[SF_METRICS];

static const char *const names[SF_METRICS] = {
    [SF_METRIC_RESPONSES_2XX] = "responses_2xx",
    [SF_METRIC_RESPONSES_3XX] = "responses_3xx",
    [SF_METRIC_RESPONSES_4XX] = "responses_4xx",
    [SF_METRIC_RESPONSES_5XX] = "responses_5xx",
    [SF_METRIC_REQUESTS_REFUSED] = "requests_refused",
    [SF_METRIC_STATEMENTS] = "statements",
    [SF_METRIC_RETRIES] = "retries",
    [SF_METRIC_BATCHES] = "batches",
    [SF_METRIC_BUILDS_COMPLETED] = "builds_completed",
    [SF_METRIC_BUILDS_FAILED] = "builds_failed",
    [SF_METRIC_MAINTENANCE_BATCHES] = "maintenance_batches",
    [SF_METRIC_ROUTE_READS] = "route_reads",
    [SF_METRIC_STALE_ROUTES] = "stale_routes",
    [SF_METRIC_ASSETS_CACHED] = "assets_cached",
    [SF_METRIC_ASSETS_READ] = "assets_read",
    [SF_METRIC_CALLS] = "calls",
    [SF_METRIC_COLD_CALLS] = "cold_calls",
    [SF_METRIC_CALLS_REFUSED] = "calls_refused",
    [SF_METRIC_CALLS_TIMED_OUT] = "calls_timed_out",
};

void sf_metrics_add(sf_metric metric)
{
    apr_atomic_inc64(&counters[metric]);
}

void sf_metrics_add_response(int status)
{
    if (ap_is_HTTP_SUCCESS(status)) {
        sf_metrics_add(SF_METRIC_RESPONSES_2XX);
    }
    else if (ap_is_HTTP_REDIRECT(status)) {
        sf_metrics_add(SF_METRIC_RESPONSES_3XX);
    }
    else if (ap_is_HTTP_CLIENT_ERROR(status)) {
        sf_metrics_add(SF_METRIC_RESPONSES_4XX);
    }
    else if (ap_is_HTTP_SERVER_ERROR(status)) {
        sf_metrics_add(SF_METRIC_RESPONSES_5XX);
    }
}

void sf_metrics_log(const sf_caller *caller)
{
    const char *text = "";
    int i;

    for (i = 0; i < SF_METRICS; i++) {
        text = apr_psprintf(caller->pool, "%s %s=%" APR_UINT64_T_FMT, text, names[i],
                            apr_atomic_read64(&counters[i]));
    }
    sf_log(caller, APLOG_INFO, "SF0050", "this child since its start:%s", text);
}
