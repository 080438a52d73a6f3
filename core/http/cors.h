/* CORS (the Fetch standard, section 3.2): the headers that let pages of other sites use the API
 * in a browser. */
#ifndef SF_CORS_H
#define SF_CORS_H

#include <httpd.h>

/* Sets the headers in r->err_headers_out, so that errors have them, too. Called as soon as the
 * Location is known, and again for an error of httpd, which drops the headers where it cannot
 * read a body. Sets nothing where the Location has no ServerlessCORSOrigins. */
void sf_cors_add_headers(request_rec *r);

/* Hook access_checker_ex: answers a preflight from one of the origins with 204, and declines any
 * other request. httpd ends a request that is answered here, so that no request passes
 * authentication by this hook (ap_process_request_internal in httpd's server/request.c). */
int sf_cors_answer_preflight(request_rec *r);

#endif
