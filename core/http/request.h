/* One request to the API: whose it is and what its path names. */
#ifndef SF_REQUEST_H
#define SF_REQUEST_H

#include "core/error.h"
#include "core/sid.h"

#include <httpd.h>

#define SF_PATH_SIDS 3
#define SF_GENERATION_LENGTH 11 /* an int as text */

struct sf_resource;

typedef struct sf_request {
    request_rec *r;
    int claimed;        /* translate_name found no Alias, RewriteRule or ProxyPass for it */
    const char *prefix; /* what stands before /Services in the path, as "/v1" */

    const char *credential; /* the SID in r->user, or NULL */
    const char *generation; /* of the secret that was checked, or NULL where httpd did it */
    int credential_checked; /* by a statement of this request */

    const char *unique_name;            /* the Service's, where it is not named by its SID */
    const struct sf_resource *resource; /* what the route is about */
    int sids;                           /* how many the path has, the Service's included */
    char sid[SF_PATH_SIDS][SF_SID_DIGITS + 1];

    const sf_error *error; /* what a hook before the handler found */
} sf_request;

/* The request's record, made at the first call. */
sf_request *sf_request_of(request_rec *r);

/* The path as messages have it: behind the prefix, percent-encoded. */
const char *sf_request_path(const sf_request *request);

/* Whether the client asks for what a GET returns, with the body or without (HEAD). */
int sf_request_is_read(const sf_request *request);

/* Where the client reaches this API, without a trailing slash, as "http://127.0.0.1:8080/v1": from
 * ServerlessBaseURL or from the Host it named. */
const char *sf_request_base_url(const sf_request *request);

#endif
