#include "status/metrics_text.h"

#include "core/config.h"
#include "core/db/db.h"
#include "core/metrics.h"
#include "core/storage/file_collect.h"
#include "handlers/routes.h"
#include "statements.h"
#include "status/node.h"
#include "version.h"

#include <apr_strings.h>
#include <http_main.h>
#include <http_protocol.h>
#include <string.h>

#define HANDLER "serverless-metrics"
#define TYPE "text/plain; version=0.0.4; charset=utf-8"
#define SECONDS(microseconds) ((double)(microseconds) / APR_USEC_PER_SEC)

/* One sample of a counter. Samples of one metric follow each other; the first one has the help. */
typedef struct {
    sf_metric metric;
    const char *name;
    const char *labels; /* "" for none */
    const char *help;
} counter;

static const counter counters[] = {
    { SF_METRIC_REQUESTS_REFUSED, "serverless_requests_refused_total", "",
      "Requests refused by the limits on requests at a time." },
    { SF_METRIC_STATEMENTS, "serverless_statements_total", "",
      "Statements for the database, each once." },
    { SF_METRIC_RETRIES, "serverless_statement_retries_total", "",
      "Repeated attempts of statements and transactions." },
    { SF_METRIC_BATCHES, "serverless_batches_total", "",
      "Batches of statements on pipelined connections." },
    { SF_METRIC_BUILDS_COMPLETED, "serverless_builds_finished_total", "{status=\"completed\"}",
      "Builds that workers of this httpd have finished." },
    { SF_METRIC_BUILDS_FAILED, "serverless_builds_finished_total", "{status=\"failed\"}", NULL },
    { SF_METRIC_MAINTENANCE_BATCHES, "serverless_maintenance_batches_total", "",
      "Batches of maintenance tasks." },
    { SF_METRIC_ROUTE_READS, "serverless_route_reads_total", "",
      "Reads of routes of domains from the database." },
    { SF_METRIC_STALE_ROUTES, "serverless_stale_route_requests_total", "",
      "Requests to domains answered by an old route while the database was away." },
    { SF_METRIC_ASSETS_CACHED, "serverless_assets_total", "{source=\"cache\"}",
      "Assets that domains have served, by the source of their bytes." },
    { SF_METRIC_ASSETS_READ, "serverless_assets_total", "{source=\"database\"}", NULL },
    { SF_METRIC_COLD_CALLS, "serverless_cold_calls_total", "",
      "Calls for which an isolate was started." },
    { SF_METRIC_CALLS_ANSWERED, "serverless_calls_total", "{outcome=\"answered\"}",
      "Calls of Functions that have ended, by outcome." },
    { SF_METRIC_CALLS_FAILED, "serverless_calls_total", "{outcome=\"failed\"}", NULL },
    { SF_METRIC_CALLS_BAD_REQUEST, "serverless_calls_total", "{outcome=\"bad_request\"}", NULL },
    { SF_METRIC_CALLS_REFUSED, "serverless_calls_total", "{outcome=\"refused\"}", NULL },
    { SF_METRIC_CALLS_UNAVAILABLE, "serverless_calls_total", "{outcome=\"unavailable\"}", NULL },
    { SF_METRIC_CALLS_TIMED_OUT, "serverless_calls_total", "{outcome=\"timed_out\"}", NULL },
};

static const struct {
    const char *name;
    const char *help;
} histograms[SF_HISTOGRAMS] = {
    [SF_HISTOGRAM_REQUEST]
    = { "serverless_request_duration_seconds", "Duration of requests to the API and to domains." },
    [SF_HISTOGRAM_DATABASE] = { "serverless_statement_duration_seconds",
                                "Duration of statements with all waits and attempts." },
    [SF_HISTOGRAM_QUEUE]
    = { "serverless_queue_duration_seconds", "Wait of statements for a connection or a batch." },
    [SF_HISTOGRAM_ISOLATE]
    = { "serverless_isolate_wait_duration_seconds", "Wait of calls for an isolate." },
    [SF_HISTOGRAM_CALL]
    = { "serverless_call_duration_seconds", "Duration of calls in their isolates." },
};

static void write_head(request_rec *r, const char *name, const char *type, const char *help)
{
    ap_rprintf(r, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_gauge(request_rec *r, const char *name, const char *help, double value)
{
    write_head(r, name, "gauge", help);
    ap_rprintf(r, "%s %g\n", name, value);
}


/* Sums of all children --------------------------------------------------------------------------- */

static void write_counters(request_rec *r, const sf_metric_sums *sums)
{
    size_t i;

    for (i = 0; i < sizeof(counters) / sizeof(*counters); i++) {
        const counter *c = &counters[i];

        if (c->help) {
            write_head(r, c->name, "counter", c->help);
        }
        ap_rprintf(r, "%s%s %" APR_UINT64_T_FMT "\n", c->name, c->labels,
                   sums->counters[c->metric]);
    }
}

static void write_histogram(request_rec *r, const char *name, const sf_durations *durations)
{
    apr_uint64_t count = 0;
    int i;

    for (i = 0; i < SF_BUCKETS; i++) {
        count += durations->buckets[i];
        ap_rprintf(r, "%s_bucket{le=\"%g\"} %" APR_UINT64_T_FMT "\n", name,
                   SECONDS(sf_bucket_bounds[i]), count);
    }
    count += durations->buckets[SF_BUCKETS];
    ap_rprintf(r,
               "%s_bucket{le=\"+Inf\"} %" APR_UINT64_T_FMT
               "\n%s_sum %f\n%s_count %" APR_UINT64_T_FMT "\n",
               name, count, name, SECONDS(durations->microseconds), name, count);
}

static void write_histograms(request_rec *r, const sf_metric_sums *sums)
{
    int i;

    for (i = 0; i < SF_HISTOGRAMS; i++) {
        write_head(r, histograms[i].name, "histogram", histograms[i].help);
        write_histogram(r, histograms[i].name, &sums->histograms[i]);
    }
}

/* Writes the samples of one operation, a status each. `labels` are those before the status. */
static void write_statuses(request_rec *r, const char *name, const char *labels,
                           const apr_uint64_t *counts)
{
    int i;

    for (i = 0; i < SF_STATUSES; i++) {
        if (counts[i] > 0) {
            ap_rprintf(r, "%s{%sstatus=\"%s\"} %" APR_UINT64_T_FMT "\n", name, labels,
                       sf_counted_statuses[i] ? apr_itoa(r->pool, sf_counted_statuses[i]) : "other",
                       counts[i]);
        }
    }
}

static const char *method_name(int method)
{
    return method == M_GET ? "GET" : method == M_POST ? "POST" : "DELETE";
}

static void write_requests(request_rec *r, const sf_metric_sums *sums)
{
    static const char name[] = "serverless_requests_total";
    const sf_api_route *route;

    write_head(r, name, "counter", "Requests to the API by route and status.");
    write_statuses(r, name, "method=\"\",route=\"none\",", sums->requests[0]);
    for (route = sf_routes; route->pattern; route++) {
        write_statuses(r, name,
                       apr_psprintf(r->pool, "method=\"%s\",route=\"%s\",",
                                    method_name(route->method), route->pattern),
                       sums->requests[1 + (route - sf_routes)]);
    }
    write_head(r, "serverless_domain_requests_total", "counter",
               "Requests to domains of Environments by status.");
    write_statuses(r, "serverless_domain_requests_total", "", sums->requests[SF_OPERATION_DOMAIN]);
}


/* The node -------------------------------------------------------------------------------------- */

/* A figure of a database. */
typedef struct {
    const char *name;
    const char *help;
    double (*value)(const sf_node_database *database);
} node_gauge;

static double is_ready(const sf_node_database *database)
{
    return database->state == SF_NODE_READY;
}

static double builds(const sf_node_database *database)
{
    return (double)database->builds;
}

static double build_age(const sf_node_database *database)
{
    return (double)database->build_age;
}

static double route_lease(const sf_node_database *database)
{
    return (double)database->route_lease / 1000;
}

static const node_gauge node_gauges[] = {
    { "serverless_ready", "1 if this node can serve with the database.", is_ready },
    { "serverless_builds_waiting", "Builds that are not finished, 10000 at most.", builds },
    { "serverless_builds_oldest_waiting_seconds", "Age of the oldest Build that is not finished.",
      build_age },
    { "serverless_route_lease_seconds", "How long nodes use a route of a domain.", route_lease },
};

static void write_node_gauge(request_rec *r, const node_gauge *gauge)
{
    const sf_caller caller = sf_caller_of(r);
    server_rec *s;

    write_head(r, gauge->name, "gauge", gauge->help);
    for (s = sf_config_next_database(ap_server_conf); s; s = sf_config_next_database(s->next)) {
        ap_rprintf(r, "%s{database=\"%s\"} %g\n", gauge->name, sf_db_label(r->pool, s),
                   gauge->value(sf_node_database_of(&caller, s)));
    }
}

static void write_tasks(request_rec *r)
{
    static const char name[] = "serverless_maintenance_last_start_timestamp_seconds";
    const sf_caller caller = sf_caller_of(r);
    server_rec *s;
    int i;

    write_head(r, name, "gauge", "When a task of maintenance began last, on any node.");
    for (s = sf_config_next_database(ap_server_conf); s; s = sf_config_next_database(s->next)) {
        const sf_node_database *database = sf_node_database_of(&caller, s);

        for (i = 0; i < SF_NODE_TASKS && database->tasks[i].name[0]; i++) {
            ap_rprintf(r, "%s{database=\"%s\",task=\"%s\"} %" APR_UINT64_T_FMT "\n", name,
                       sf_db_label(r->pool, s), database->tasks[i].name, database->tasks[i].begun);
        }
    }
}

static void write_runner(request_rec *r)
{
    const sf_node_runner *runner = sf_node_runner_of(r->pool);
    int i;

    if (!runner) {
        return;
    }
    write_gauge(r, "serverless_runner_ready", "1 if the runner of Functions answers.",
                runner->state == SF_NODE_READY);
    write_head(r, "serverless_isolates", "gauge", "Isolates of the machine, by state.");
    for (i = 0; i < SF_ISOLATE_STATES_SHOWN; i++) {
        ap_rprintf(r, "serverless_isolates{state=\"%s\"} %" APR_UINT64_T_FMT "\n",
                   sf_isolate_states[i], runner->isolates[i]);
    }
    write_gauge(r, "serverless_leases_waiting", "Calls that wait for an isolate of the machine.",
                (double)runner->waiting);
}

static void write_node(request_rec *r, const sf_metric_sums *sums)
{
    size_t i;

    write_head(r, "serverless_info", "gauge", "The versions of the module and of its schema.");
    ap_rprintf(r, "serverless_info{version=\"%s\",schema=\"%d\"} 1\n", SF_VERSION,
               SF_SCHEMA_VERSION);
    write_gauge(r, "serverless_connections_in_use",
                "Connections of the regular pools that statements use.",
                (double)sums->gauges[SF_GAUGE_CONNECTIONS_IN_USE]);
    write_gauge(r, "serverless_connections_per_child",
                "The most connections of the regular pool in each child.",
                sf_config_pooled_connections());
    for (i = 0; i < sizeof(node_gauges) / sizeof(*node_gauges); i++) {
        write_node_gauge(r, &node_gauges[i]);
    }
    write_runner(r);
    write_tasks(r);
}

static void write_asset_cache(request_rec *r)
{
    const struct sf_file_cache *cache = sf_config_asset_cache();

    write_gauge(r, "serverless_asset_cache_bytes", "Bytes of the files of Assets on disk.",
                cache ? (double)sf_file_collect_total(cache, r->pool) : 0);
    write_gauge(r, "serverless_asset_cache_limit_bytes",
                "The most bytes that these files may have.", cache ? (double)cache->limit : 0);
}

int sf_metrics_handler(request_rec *r)
{
    const sf_metric_sums *sums;

    if (!r->handler || strcmp(r->handler, HANDLER) != 0) {
        return DECLINED;
    }
    if (r->method_number != M_GET) {
        r->allowed = (apr_int64_t)1 << M_GET;
        return HTTP_METHOD_NOT_ALLOWED;
    }
    if (!sf_config_next_database(ap_server_conf)) {
        return HTTP_NOT_FOUND;
    }
    sums = sf_metrics_read(r->pool);
    ap_set_content_type(r, TYPE);
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    write_requests(r, sums);
    write_counters(r, sums);
    write_histograms(r, sums);
    write_node(r, sums);
    write_asset_cache(r);
    return OK;
}
