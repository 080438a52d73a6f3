/* Serves the API's description. */
#ifndef SF_OPENAPI_H
#define SF_OPENAPI_H

#include <httpd.h>

/* Handles requests for which SetHandler says "serverless-openapi": answers with docs/openapi.yaml,
 * as it was when this module was built, under the type of RFC 9512. Supports GET, HEAD and
 * OPTIONS, conditions and ranges. Returns OK, a status for httpd, or DECLINED for another
 * handler. */
int sf_openapi_handler(request_rec *r);

#endif
