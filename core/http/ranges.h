/* The Range header before httpd's byte range filter evaluates it. */
#ifndef SF_RANGES_H
#define SF_RANGES_H

#include <httpd.h>

/* Has httpd ignore the request's ranges. httpd would send a range of any successful answer, also
 * that of an update, or refuse a request that has been carried out because the range is not
 * there. */
void sf_ranges_ignore(request_rec *r);

/* Has httpd ignore the ranges of a content of `size` bytes, and answer with all of it, where one of
 * several ranges begins before the range that precedes it in the list (RFC 9110, section 14.2,
 * allows that), or cannot be read. httpd merges a range that overlaps with the preceding one. So
 * the ranges that are left are apart from each other and in ascending order, and an answer takes
 * each byte of the content once at most. */
void sf_ranges_accept_ascending(request_rec *r, apr_off_t size);

#endif
