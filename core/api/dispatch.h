/* A request's way to the function that answers it. */
#ifndef SF_DISPATCH_H
#define SF_DISPATCH_H

#include "core/http/request.h"

/* Answers a request and returns NULL, or returns the error to answer with. */
typedef const sf_error *sf_answer(sf_request *request);

/* One operation. */
typedef struct sf_route {
    int method;          /* M_GET, which is HEAD too, M_POST, M_DELETE */
    const char *pattern; /* below the version; {ZS} matches a Service's SID or UniqueName, any other
                            {XX} a SID of that kind */
    sf_answer *answer;
    const struct sf_resource *resource; /* what it is about, for `answer` */
} sf_route;

/* Answers a request with one of `routes`, which end with a NULL pattern. Stages: an authenticated
 * user, a path that exists, a method it has, well-formed SIDs, then the operation. What goes wrong
 * is answered too. Returns OK, or a status for httpd where the connection is beyond answering. */
int sf_dispatch(sf_request *request, const sf_route *routes);

#endif
