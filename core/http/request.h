/* The state of one request to the API: its credential, and the resource that its path names. */
#ifndef SF_REQUEST_H
#define SF_REQUEST_H

#include "core/error.h"
#include "core/metrics.h"
#include "core/sid.h"

#include <httpd.h>

#define SF_PATH_SIDS 3          /* the most that a path has */
#define SF_GENERATION_LENGTH 11 /* of an int as text */

struct sf_resource;

typedef struct sf_request {
    sf_request_parts parts; /* the first member: sf_metrics_parts() */
    request_rec *r;
    int claimed;        /* translate_name found no Alias, RewriteRule or ProxyPass for the path */
    const char *prefix; /* the part of the path before /Services, such as "/v1" */

    const char *credential; /* the SID in r->user, or NULL */
    const char
        *account; /* the SID of its account; that of the credential where httpd checked one */
    const char
        *generation; /* of the secret that this module checked, or NULL if httpd checked one */
    int credential_checked; /* a statement of this request found that the credential holds */
    const char *
        refusal; /* why the provider "serverless" has refused the credential, for the log; or NULL */

    const char *unique_name;            /* of the Service, if the path has it in place of the SID */
    const struct sf_resource *resource; /* of the route */
    int sids;                           /* of the path, including the Service's */
    char sid[SF_PATH_SIDS][SF_SID_DIGITS + 1];

    const sf_error *error; /* found by a hook that runs before the handler */

    int route_wait; /* milliseconds that the answer has to wait: see sf_operation_wait_for_routes() */
} sf_request;

/* Returns the state of a request, which the first call makes. */
sf_request *sf_request_of(request_rec *r);

/* Returns the path behind the prefix, percent-encoded, as error messages have it. */
const char *sf_request_path(const sf_request *request);

/* Whether the request is a GET or a HEAD. */
int sf_request_is_read(const sf_request *request);

/* Returns the URL by which the client reaches this API, without a trailing slash, such as
 * "http://127.0.0.1:8080/v1": that of ServerlessBaseURL, or one made from the Host header. */
const char *sf_request_base_url(const sf_request *request);

#endif
