/* A request's body, bounded: whole, or piece by piece. */
#ifndef SF_BODY_H
#define SF_BODY_H

#include "core/error.h"

/* Reads the body of at most `limit` bytes; NULs may be in it, and one more follows it. Returns NULL,
 * or 413 over the limit (before a byte is read where Content-Length says so), 408 if it came too
 * slowly, 400 if it broke off, as httpd tells. */
const sf_error *sf_body_read(request_rec *r, apr_off_t limit, char **bytes, apr_size_t *length);

/* Takes a piece of a body; an error it returns ends the reading. */
typedef const sf_error *sf_body_sink(void *data, const char *bytes, apr_size_t size);

/* Hands a body of at most `limit` bytes to `sink` as it arrives. Returns NULL, the sink's error, or
 * one of those above. */
const sf_error *sf_body_stream(request_rec *r, apr_off_t limit, sf_body_sink *sink, void *data);

#endif
