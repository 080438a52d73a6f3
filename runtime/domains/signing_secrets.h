/* The secrets that the signatures of an Environment's requests are checked with: the Environment's Variable
 * AUTH_TOKEN if it has ACCOUNT_SID as well, else the signing token of its Service. */
#ifndef SF_SIGNING_SECRETS_H
#define SF_SIGNING_SECRETS_H

#include "core/crypto/signing_key.h"

#include <apr_time.h>

struct sf_domain_request;

typedef struct {
    char token[SF_SECRET_MAX + 1]; /* "" where there is none */
    char old_token[SF_SIGNING_TOKEN_DIGITS
                   + 1];    /* of the account's old key; "" where there is none */
    apr_time_t old_expires; /* when old_token ends */
    int is_explained;       /* it was logged that there is none */
} sf_signing_secrets;

/* Makes this child's cache of secrets. Called from child_init. Returns APR_SUCCESS or the error of a pool or
 * mutex. */
apr_status_t sf_signing_secrets_init(apr_pool_t *pool);

/* Finds the secrets of a request's Environment, which the caller wipes. Returns OK, also where there is no
 * secret; or 503 where the database fails. */
int sf_signing_secrets_find(const struct sf_domain_request *request, sf_signing_secrets *secrets);

/* Logs why a protected path is answered with 403, with the remedy, where there is no secret: once for each
 * Environment, until something changes. */
void sf_signing_secrets_explain(const struct sf_domain_request *request,
                                sf_signing_secrets *secrets);

#endif
