/* Finds the operation for a request and renders the error if it fails. */
#ifndef SF_DISPATCH_H
#define SF_DISPATCH_H

#include "core/http/request.h"

/* An operation: answers a request and returns NULL, or returns the error to answer with. */
typedef const sf_error *sf_answer(sf_request *request);

typedef struct sf_api_route {
    int method; /* M_GET, which includes HEAD, M_POST or M_DELETE */
    const char
        *pattern; /* of the path below the version; {ZS} matches a Service's SID or UniqueName,
                            any other {XX} a SID of that kind */
    sf_answer *answer;
    const struct sf_resource *resource; /* becomes the request's */
} sf_api_route;

/* Answers a request with one of `routes`, which end with a NULL pattern, or with an error. The
 * checks come in this order: a user (401, 403), the path (404), the method (405), the SIDs (404),
 * then the operation's own; 401 takes precedence over any other 4xx. Returns OK, or
 * AP_FILTER_ERROR if the connection cannot take an answer any more. */
int sf_dispatch(sf_request *request, const sf_api_route *routes);

#endif
