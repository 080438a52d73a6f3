/* The metrics of a child: counters from its start to its end. Each part adds to its own
 * counters; this file alone renders them. */
#ifndef SF_METRICS_H
#define SF_METRICS_H

#include "core/caller.h"

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
    SF_METRIC_CALLS,               /* of Functions */
    SF_METRIC_COLD_CALLS,          /* for which an isolate was started */
    SF_METRIC_CALLS_REFUSED,       /* with 429 */
    SF_METRIC_CALLS_TIMED_OUT,     /* with 504 */
    SF_METRICS
} sf_metric;

/* Adds one to a counter. Any thread may call it. */
void sf_metrics_add(sf_metric metric);

/* Adds one to the counter of the status's class. Statuses below 200 are not counted. */
void sf_metrics_add_response(int status);

/* Logs all counters as one line, SF0050, at level info. */
void sf_metrics_log(const sf_caller *caller);

#endif
