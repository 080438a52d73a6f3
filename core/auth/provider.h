/* Who is asking. The passwords are checked by a provider for Apache's own Basic authentication; any
 * other authentication that sets the user to the SID of an account or API key is as good. */
#ifndef SF_AUTH_PROVIDER_H
#define SF_AUTH_PROVIDER_H

#include "core/http/request.h"

#include <apr_pools.h>

/* Registers the provider "serverless" (AuthBasicProvider). */
void sf_auth_register(apr_pool_t *pool);

/* Takes the user that Apache has authenticated for the request's credential. Returns NULL, 403 where
 * there is no user (the Location asks for no authentication, so it serves nothing), or 401 where it
 * is no SID of an account or key. Whether it is active, the request's statement tells. */
const sf_error *sf_auth_take_user(sf_request *request);

/* 401 needs a challenge: has Apache's authentication add its WWW-Authenticate. */
void sf_auth_challenge(request_rec *r);

#endif
