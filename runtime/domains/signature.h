/* The signature that protected paths require: HMAC-SHA1 of the URL and of a form's parameters under a
 * token, in Base64, as Twilio sends it in X-Twilio-Signature. Pure functions. */
#ifndef SF_SIGNATURE_H
#define SF_SIGNATURE_H

#include "core/http/form.h"

#include <apr_tables.h>

/* The signed parts of a request. */
typedef struct {
    const char *scheme;             /* "https" or "http" */
    const char *host;               /* as in the header Host: a port may follow */
    const char *target;             /* path and query as in the request line */
    const apr_array_header_t *form; /* sf_form_parameter each, or NULL where the body is no form */
} sf_signed_request;

/* Returns whether `given` is the request's signature under the token; never with an empty token. The URL
 * counts with its port and without: a client may sign either. Compares in constant time. */
int sf_signature_is_valid(apr_pool_t *pool, const sf_signed_request *signed_request,
                          const char *token, const char *given);

/* Returns the body's hash as the query's parameter bodySHA256 has it: 64 hex digits in any case. Returns ""
 * where the parameter has another text, and NULL where there is none. `query` is as in the request line. */
const char *sf_signature_body_sha256(apr_pool_t *pool, const char *query);

#endif
