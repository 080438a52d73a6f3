/* Conditional requests (RFC 9110, section 13): an entity tag says which revision of a resource an
 * answer shows, and a client that names one changes or fetches nothing else. */
#ifndef SF_CONDITIONAL_H
#define SF_CONDITIONAL_H

#include "core/http/request.h"

/* The revisions that If-Match allows to be changed, as PostgreSQL's array of microseconds since 1970,
 * or NULL where any may be. Of a tag only the revision counts: a change made through another address
 * or form of the resource is a change of the resource. */
const char *sf_conditional_expected(const sf_request *request);

/* Sets ETag and, where `updated` is not 0, Last-Modified; and Cache-Control, without which a browser may
 * take what has such a date for fresh for as long as it pleases (RFC 9111, section 4.2.2). */
void sf_conditional_headers(request_rec *r, const char *tag, apr_time_t updated);

/* Sets these for a body. The tag is "revision-hash": `revision` in microseconds since 1970, as text, or
 * NULL where there is none; and the hash of the body under `key`, 16 bytes that clients do not know. */
void sf_conditional_tag(const sf_request *request, const char *revision, const unsigned char *key,
                        const char *body, apr_size_t length);

/* OK, or what the headers set by sf_conditional_tag() make of a GET: HTTP_NOT_MODIFIED or
 * HTTP_PRECONDITION_FAILED. Other methods are OK: their condition is the statement's. */
int sf_conditional_status(const sf_request *request);

#endif
