/* CORS (the Fetch standard, section 3.2): which pages of other sites may use the API in a browser,
 * and what they may send and read. */
#ifndef SF_CORS_H
#define SF_CORS_H

#include <httpd.h>

/* Puts the headers into r->err_headers_out, so that errors have them, too. To be called as soon as
 * the Location is known, and again when httpd makes an error of a body that it cannot read: it has
 * dropped them by then. Nothing where the Location has no ServerlessCORSOrigins. */
void sf_cors_add_headers(request_rec *r);

/* Hook access_checker_ex: answers a preflight from one of the origins with 204, and declines anything
 * else. httpd goes no further with a request that is answered here: nothing is let past
 * authentication (ap_process_request_internal in httpd's server/request.c). */
int sf_cors_answer_preflight(request_rec *r);

#endif
