/* The description of the API as a document of the server. */
#ifndef SF_OPENAPI_H
#define SF_OPENAPI_H

#include <httpd.h>

/* httpd's handler "serverless-openapi", for any address that SetHandler gives it: docs/openapi.yaml as
 * this module was built with it, under the type of RFC 9512. Knows GET, HEAD and OPTIONS, conditions
 * and ranges. Returns DECLINED where the handler is another, else OK or a status for httpd. */
int sf_openapi_handler(request_rec *r);

#endif
