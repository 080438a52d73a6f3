/* What names a request, in its response and in the log. */
#ifndef SF_REQUEST_ID_H
#define SF_REQUEST_ID_H

#include <httpd.h>

/* Makes what the ids of this child begin from. Called from child_init. */
apr_status_t sf_request_id_init(void);

/* The id this request has in the response header and the log: "RQ" and 32 hex digits. */
const char *sf_request_id(request_rec *r);

#endif
