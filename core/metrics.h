/* The metrics of this httpd: counters, gauges and histograms in shared memory, in which each child has a part of its
 * own. Each part of the module adds to its own metrics. status/ shows the sums. */
#ifndef SF_METRICS_H
#define SF_METRICS_H

#include "core/caller.h"

#include <ap_mpm.h>

typedef enum {
    SF_METRIC_RESPONSES_2XX,
    SF_METRIC_RESPONSES_3XX,
    SF_METRIC_RESPONSES_4XX,
    SF_METRIC_RESPONSES_5XX,
    SF_METRIC_REQUESTS_REFUSED,    /* by the limits on requests at a time */
    SF_METRIC_STATEMENTS,          /* each once, however many attempts it takes */
    SF_METRIC_RETRIES,             /* repeated attempts of statements and transactions */
    SF_METRIC_BATCHES,             /* sent on pipelined connections */
    SF_METRIC_BUILDS_COMPLETED,    /* by this child's worker */
    SF_METRIC_BUILDS_FAILED,       /* by this child's worker */
    SF_METRIC_MAINTENANCE_BATCHES, /* of all tasks */
    SF_METRIC_ROUTE_READS,         /* of routes, from the database */
    SF_METRIC_STALE_ROUTES,        /* requests answered by an old route, the database being away */
    SF_METRIC_ASSETS_CACHED,       /* answers with the file of an Asset */
    SF_METRIC_ASSETS_READ,         /* answers with the chunks of an Asset */
    SF_METRIC_COLD_CALLS,          /* calls of Functions for which an isolate was started */
    SF_METRIC_CALLS_ANSWERED,      /* by the Function, with whatever status */
    SF_METRIC_CALLS_FAILED, /* the Function has failed, or its isolate, or the answer is illegal */
    SF_METRIC_CALLS_BAD_REQUEST, /* with 400: the body is no event */
    SF_METRIC_CALLS_REFUSED,     /* with 429: no isolate was free in time */
    SF_METRIC_CALLS_UNAVAILABLE, /* with 503: the runner or the database is away */
    SF_METRIC_CALLS_TIMED_OUT,   /* with 504 */
    SF_METRICS
} sf_metric;

/* Values that go up and down. A child that ends has 0. */
typedef enum {
    SF_GAUGE_CONNECTIONS_IN_USE, /* of the regular pool */
    SF_GAUGES
} sf_gauge;

/* Durations. */
typedef enum {
    SF_HISTOGRAM_REQUEST,  /* from the first byte of a request to the end of its answer */
    SF_HISTOGRAM_DATABASE, /* of a statement, with all waits and attempts */
    SF_HISTOGRAM_QUEUE,    /* of a statement's wait for a connection or for its batch */
    SF_HISTOGRAM_ISOLATE,  /* of a call's wait for an isolate, the start of a new one included */
    SF_HISTOGRAM_CALL,     /* of a call, from the last byte to the isolate to its answer or end */
    SF_HISTOGRAMS
} sf_histogram;

/* The upper bounds of a histogram's buckets, in microseconds. A last bucket has all longer durations. */
#define SF_BUCKETS 14
extern const apr_interval_time_t sf_bucket_bounds[SF_BUCKETS];

/* Requests are counted by operation: 0 for requests of the API without one, 1 and the following numbers for the
 * routes of the API in their order, and SF_OPERATION_DOMAIN for requests to domains. */
#define SF_OPERATIONS 64
#define SF_OPERATION_DOMAIN (SF_OPERATIONS - 1)

/* The statuses that are counted by themselves; the last one, 0, has all others. */
#define SF_STATUSES 26
extern const short sf_counted_statuses[SF_STATUSES];

typedef struct {
    apr_uint64_t buckets[SF_BUCKETS + 1]; /* not cumulative */
    apr_uint64_t microseconds;            /* of all durations together */
} sf_durations;

/* The sums over all children, those that have ended included. */
typedef struct {
    apr_uint64_t counters[SF_METRICS];
    apr_uint64_t gauges[SF_GAUGES];
    sf_durations histograms[SF_HISTOGRAMS];
    apr_uint64_t requests[SF_OPERATIONS][SF_STATUSES];
} sf_metric_sums;

/* The parts of one request, for its log line. The module's state of a request begins with this. */
typedef struct {
    int operation;
    int statements;
    apr_interval_time_t database; /* with `queue` */
    apr_interval_time_t queue;
} sf_request_parts;

/* Makes the shared memory, unless it is there from before a restart. Called from post_config, in the parent process.
 * Returns APR_SUCCESS or the error of the shared memory. */
apr_status_t sf_metrics_post_config(void);

/* Takes a part of the memory. Called from child_init. */
void sf_metrics_child_init(void);

/* The hook child_status, which the parent process runs: frees the part of a child that has ended. Its counters stay. */
void sf_metrics_child_status(server_rec *s, pid_t pid, ap_generation_t generation, int slot,
                             mpm_child_status status);

/* Adds one to a counter. Any thread may call it. */
void sf_metrics_add(sf_metric metric);

/* Adds one to the counter of the status's class. Statuses below 200 are not counted. */
void sf_metrics_add_response(int status);

/* Adds a request of an operation that was answered with this status, and its duration. */
void sf_metrics_add_request(int operation, int status, apr_interval_time_t duration);

/* Sets a gauge of this child. */
void sf_metrics_set(sf_gauge gauge, int value);

/* Adds a duration to a histogram and, for those of statements, to the parts of the caller's request. */
void sf_metrics_observe(const sf_caller *caller, sf_histogram histogram,
                        apr_interval_time_t duration);

/* Returns the parts of a request, or NULL where the module has no state of it. */
sf_request_parts *sf_metrics_parts(const request_rec *r);

/* Returns the sums. They live as long as the pool. */
const sf_metric_sums *sf_metrics_read(apr_pool_t *pool);

/* Returns the name of a counter in the log, such as "responses_2xx". */
const char *sf_metrics_name(sf_metric metric);

/* Logs the counters of this child since its start as one line, SF0050, at level info. */
void sf_metrics_log(const sf_caller *caller);

#endif
