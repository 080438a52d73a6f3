/* Authentication: the provider "serverless" for mod_auth_basic, and the credential of a request.
 * Any other authentication of httpd that sets the user to the SID of an account or API key works
 * as well. */
#ifndef SF_AUTH_PROVIDER_H
#define SF_AUTH_PROVIDER_H

#include "core/http/request.h"

#include <apr_pools.h>

/* Registers the provider "serverless" (AuthBasicProvider). */
void sf_auth_register(apr_pool_t *pool);

/* Sets the request's credential to the user that httpd has authenticated, and notes the account
 * (SF_ACCOUNT_NOTE). Returns NULL; 403
 * where there is no user (the Location asks for no authentication, so it serves nothing); or 401
 * where the user is not the SID of an account or key. The request's statement checks whether the
 * credential is active. */
const sf_error *sf_auth_take_user(sf_request *request);

/* Logs SF0021 with the client's address and the reason where the request had credentials and the response
 * is 401: of the API, or of another Location that uses the provider "serverless". The client does not learn
 * the reason. A hook of log_transaction. */
int sf_auth_log_refusal(request_rec *r);

/* Adds the challenge of a 401: WWW-Authenticate of httpd's own authentication. */
void sf_auth_challenge(request_rec *r);

#endif
