/* The body of a request, with a limit on its size: whole, or in pieces. */
#ifndef SF_BODY_H
#define SF_BODY_H

#include "core/error.h"

/* Has httpd close the connection after the answer if the request has a body. Otherwise httpd reads
 * a body that nothing else has read to its end, however slowly the client sends it. */
void sf_body_skip(request_rec *r);

/* Reads a body of at most `limit` bytes. A NUL is added behind it; `length` counts the bytes
 * before. Returns NULL, or an error: 413 above the limit (before a byte is read where
 * Content-Length says so), 415 for one with a Content-Encoding, 408 for a body that comes too slowly, 400 for one that breaks off. */
const sf_error *sf_body_read(request_rec *r, apr_off_t limit, char **bytes, apr_size_t *length);

/* Takes a piece of a body. Returns NULL, or an error, which ends the reading. */
typedef const sf_error *sf_body_sink(void *data, const char *bytes, apr_size_t size);

/* Passes a body of at most `limit` bytes to `sink` as it arrives. Returns NULL, the sink's
 * error, or an error of sf_body_read(). */
const sf_error *sf_body_stream(request_rec *r, apr_off_t limit, sf_body_sink *sink, void *data);

#endif
