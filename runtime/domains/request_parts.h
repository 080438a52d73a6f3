/* The parts of a request to a domain, as its client has sent them. */
#ifndef SF_REQUEST_PARTS_H
#define SF_REQUEST_PARTS_H

#include "runtime/domains/domain.h"

/* Returns path and query as in the request line. */
const char *sf_request_target(const request_rec *r);

/* Returns the host and port that the client called. */
const char *sf_request_host(const sf_domain_request *request);

/* Reads the body into the request, if it has not been read: at most ServerlessRequestLimit bytes. A GET or HEAD
 * has an empty one. Returns OK, or 413, 415, 408 or 400 (sf_body_read()). */
int sf_request_read_body(sf_domain_request *request);

#endif
