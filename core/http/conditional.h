/* Conditional requests (RFC 9110, section 13). An entity tag names the revision of a resource;
 * with a tag, a client changes or fetches that revision only. */
#ifndef SF_CONDITIONAL_H
#define SF_CONDITIONAL_H

#include "core/http/request.h"

/* Returns the revisions that If-Match lists, as PostgreSQL's array of microseconds since 1970,
 * or NULL where it allows any. The hash in a tag does not count: the resource is the same at
 * each of its addresses. */
const char *sf_conditional_expected(const sf_request *request);

/* Sets ETag, Cache-Control and, where `updated` is not 0, Last-Modified. Without Cache-Control,
 * a browser may use a response with such a date again without asking (RFC 9111, section 4.2.2). */
void sf_conditional_headers(request_rec *r, const char *tag, apr_time_t updated);

/* Sets these headers for a JSON body. The tag is "revision-hash": `revision` is microseconds
 * since 1970 as text, or NULL where the resource has none; the hash is that of the body under
 * `key`, 16 bytes that clients do not know. */
void sf_conditional_tag(const sf_request *request, const char *revision, const unsigned char *key,
                        const char *body, apr_size_t length);

/* Compares the conditions of a GET with the headers that sf_conditional_tag() has set. Returns
 * OK, HTTP_NOT_MODIFIED or HTTP_PRECONDITION_FAILED. Other methods are OK: their statement has
 * the condition. */
int sf_conditional_status(const sf_request *request);

#endif
