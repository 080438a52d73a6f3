/* The handler serverless-metrics: the metrics of this httpd in the text format of Prometheus, version 0.0.4. */
#ifndef SF_METRICS_TEXT_H
#define SF_METRICS_TEXT_H

#include <httpd.h>

/* Handles requests for which SetHandler says "serverless-metrics". Supports GET and HEAD. Returns OK, a status for
 * httpd, or DECLINED for another handler. */
int sf_metrics_handler(request_rec *r);

#endif
