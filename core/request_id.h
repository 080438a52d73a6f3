/* The id of a request, in its response and in the log. */
#ifndef SF_REQUEST_ID_H
#define SF_REQUEST_ID_H

#include <httpd.h>

/* Makes the keys of this child's ids. Called from child_init. Returns APR_SUCCESS, or
 * APR_EGENERAL where OpenSSL has no random bytes. */
apr_status_t sf_request_id_init(void);

/* Returns the request's id, "RQ" and 32 hex digits. The first call makes it, as r->log_id. */
const char *sf_request_id(request_rec *r);

#endif
