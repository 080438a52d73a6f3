/* The handler serverless-status: whether the node lives, and whether it can serve. For load balancers. */
#ifndef SF_HEALTH_H
#define SF_HEALTH_H

#include <httpd.h>

/* Handles requests for which SetHandler says "serverless-status". A path that ends in /live is 200. One that ends in
 * /ready is 200 if this node can serve, else 503; the body is one word, which is "ready" or the reason. It costs the
 * database a statement a second at most. All other paths are 404. Returns OK, a status for httpd, or DECLINED for
 * another handler. */
int sf_health_handler(request_rec *r);

#endif
