/* A request's body, whole and bounded. */
#ifndef SF_BODY_H
#define SF_BODY_H

#include "core/error.h"

/* Reads the body of at most `limit` bytes; NULs may be in it, and one more follows it. Returns NULL,
 * or 413 over the limit, 408 if it came too slowly, 400 if it broke off, as httpd tells. */
const sf_error *sf_body_read(request_rec *r, apr_off_t limit, char **bytes, apr_size_t *length);

#endif
