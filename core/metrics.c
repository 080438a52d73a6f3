#include "core/metrics.h"

#include "core/log.h"

#include <apr_atomic.h>
#include <apr_shm.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_log.h>
#include <http_main.h>
#include <string.h>
#include <unistd.h>

/* Names the module's slot in httpd's configuration vectors. */
extern module AP_MODULE_DECLARE_DATA serverless_functions_module;

/* Names the memory among the data that httpd keeps over restarts. */
#define RETAINED "sf_metrics"

#define MILLISECONDS(n) ((apr_interval_time_t)((n)*1000))

const apr_interval_time_t sf_bucket_bounds[SF_BUCKETS] = {
    MILLISECONDS(0.25), MILLISECONDS(0.5),   MILLISECONDS(1),   MILLISECONDS(2.5),
    MILLISECONDS(5),    MILLISECONDS(10),    MILLISECONDS(25),  MILLISECONDS(50),
    MILLISECONDS(100),  MILLISECONDS(250),   MILLISECONDS(500), MILLISECONDS(1000),
    MILLISECONDS(2500), MILLISECONDS(10000),
};

const short sf_counted_statuses[SF_STATUSES] = {
    200, 201, 204, 206, 301, 302, 304, 400, 401, 403, 404, 405, 408,
    409, 412, 413, 415, 416, 429, 431, 500, 501, 502, 503, 504, 0,
};

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
    [SF_METRIC_COLD_CALLS] = "cold_calls",
    [SF_METRIC_CALLS_ANSWERED] = "calls_answered",
    [SF_METRIC_CALLS_FAILED] = "calls_failed",
    [SF_METRIC_CALLS_BAD_REQUEST] = "calls_bad_request",
    [SF_METRIC_CALLS_REFUSED] = "calls_refused",
    [SF_METRIC_CALLS_UNAVAILABLE] = "calls_unavailable",
    [SF_METRIC_CALLS_TIMED_OUT] = "calls_timed_out",
};

/* The part of a child: sums that any thread of it adds to. */
typedef struct {
    volatile apr_uint32_t child; /* its process id; 0 where the part is free */
    volatile sf_metric_sums sums;
} part;

/* The memory, which outlives a graceful restart: so counters never fall while httpd runs. */
typedef struct {
    part *parts;
    int count;
    apr_size_t part_size; /* another version of the module may have another one */
} memory;

static memory shared;

/* The part of this child. Where the memory is not made, or all parts are taken, the children that have none lose
 * their counters. */
static part own_part;
static part *own = &own_part;

/* The counters as this child found them. */
static apr_uint64_t at_start[SF_METRICS];


/* The memory ------------------------------------------------------------------------------------ */

static int query_daemons(void)
{
    int daemons = 0;

    return ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &daemons) == APR_SUCCESS && daemons > 0 ? daemons : 1;
}

static apr_status_t make_memory(memory *made)
{
    /* two generations of children at a time */
    const int count = 2 * query_daemons();
    apr_shm_t *shm;
    const apr_status_t rv
        = apr_shm_create(&shm, (apr_size_t)count * sizeof(part), NULL, ap_pglobal);

    if (rv == APR_SUCCESS) {
        made->parts = apr_shm_baseaddr_get(shm);
        made->count = count;
        made->part_size = sizeof(part);
        memset(made->parts, 0, (apr_size_t)count * sizeof(part));
    }
    return rv;
}

apr_status_t sf_metrics_post_config(void)
{
    memory *retained = ap_retained_data_get(RETAINED);
    apr_status_t rv = APR_SUCCESS;

    if (!retained) {
        retained = ap_retained_data_create(RETAINED, sizeof(*retained));
    }
    if (!retained->parts || retained->part_size != sizeof(part)) {
        rv = make_memory(retained);
    }
    shared = *retained;
    return rv;
}

void sf_metrics_child_init(void)
{
    const apr_uint32_t child = (apr_uint32_t)getpid();
    int i;

    for (i = 0; i < shared.count; i++) {
        if (apr_atomic_cas32(&shared.parts[i].child, child, 0) == 0) {
            own = &shared.parts[i];
            memcpy(at_start, (const void *)own->sums.counters, sizeof(at_start));
            return;
        }
    }
}

static void free_part(part *freed)
{
    int i;

    for (i = 0; i < SF_GAUGES; i++) {
        freed->sums.gauges[i] = 0;
    }
    apr_atomic_set32(&freed->child, 0);
}

void sf_metrics_child_status(server_rec *s, pid_t pid, ap_generation_t generation, int slot,
                             mpm_child_status status)
{
    int i;

    (void)s;
    (void)generation;
    (void)slot;
    for (i = 0; status == MPM_CHILD_EXITED && i < shared.count; i++) {
        if (shared.parts[i].child == (apr_uint32_t)pid) {
            free_part(&shared.parts[i]);
        }
    }
}


/* Adding ---------------------------------------------------------------------------------------- */

void sf_metrics_add(sf_metric metric)
{
    apr_atomic_inc64(&own->sums.counters[metric]);
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

static void add_duration(sf_histogram histogram, apr_interval_time_t duration)
{
    volatile sf_durations *durations = &own->sums.histograms[histogram];
    int bucket = 0;

    duration = duration > 0 ? duration : 0; /* the clock may be set back */
    while (bucket < SF_BUCKETS && duration > sf_bucket_bounds[bucket]) {
        bucket++;
    }
    apr_atomic_inc64(&durations->buckets[bucket]);
    apr_atomic_add64(&durations->microseconds, (apr_uint64_t)duration);
}

void sf_metrics_add_request(int operation, int status, apr_interval_time_t duration)
{
    int i = 0;

    while (sf_counted_statuses[i] && sf_counted_statuses[i] != status) {
        i++;
    }
    apr_atomic_inc64(&own->sums.requests[operation][i]);
    add_duration(SF_HISTOGRAM_REQUEST, duration);
}

void sf_metrics_set(sf_gauge gauge, int value)
{
    apr_atomic_set64(&own->sums.gauges[gauge], (apr_uint64_t)value);
}

sf_request_parts *sf_metrics_parts(const request_rec *r)
{
    return ap_get_module_config(r->request_config, &serverless_functions_module);
}

void sf_metrics_observe(const sf_caller *caller, sf_histogram histogram,
                        apr_interval_time_t duration)
{
    sf_request_parts *parts = caller->r ? sf_metrics_parts(caller->r) : NULL;

    add_duration(histogram, duration);
    if (parts && histogram == SF_HISTOGRAM_DATABASE) {
        parts->statements++;
        parts->database += duration;
    }
    else if (parts && histogram == SF_HISTOGRAM_QUEUE) {
        parts->queue += duration;
    }
}


/* Reading --------------------------------------------------------------------------------------- */

const sf_metric_sums *sf_metrics_read(apr_pool_t *pool)
{
    const size_t values = sizeof(sf_metric_sums) / sizeof(apr_uint64_t);
    apr_uint64_t *sums = apr_pcalloc(pool, sizeof(sf_metric_sums));
    size_t value;
    int i;

    /* sf_metric_sums has nothing but numbers of 64 bits */
    for (i = 0; i < shared.count; i++) {
        const volatile apr_uint64_t *of_child = (const volatile void *)&shared.parts[i].sums;

        for (value = 0; value < values; value++) {
            sums[value] += of_child[value];
        }
    }
    return (const void *)sums;
}

const char *sf_metrics_name(sf_metric metric)
{
    return names[metric];
}

void sf_metrics_log(const sf_caller *caller)
{
    const char *text = "";
    int i;

    for (i = 0; i < SF_METRICS; i++) {
        text = apr_psprintf(caller->pool, "%s %s=%" APR_UINT64_T_FMT, text, names[i],
                            own->sums.counters[i] - at_start[i]);
    }
    sf_log(caller, APLOG_INFO, "SF0050", "this child since its start:%s", text);
}
