/* The caller of a function below the API: a request, or httpd itself where there is no request. */
#ifndef SF_CALLER_H
#define SF_CALLER_H

#include <httpd.h>

/* In r->notes: the SID of the account that the request is authenticated for.
 * It is the SID of the API key where another provider than "serverless" has authenticated a key. */
#define SF_ACCOUNT_NOTE "serverless-account"

typedef struct {
    apr_pool_t *pool; /* results live as long as this pool */
    server_rec *server;
    request_rec *r; /* NULL outside of requests */
} sf_caller;

/* The caller for work on behalf of a request; results live as long as the request. */
static inline sf_caller sf_caller_of(request_rec *r)
{
    return (sf_caller){ r->pool, r->server, r };
}

#endif
