/* The password cache of a child: passwords that the database has found right, so that later
 * requests need not ask. Entries need no expiry in the API: each of its statements has the
 * generation of the secret as a parameter, and the database refuses a secret that is revoked,
 * suspended or replaced. */
#ifndef SF_PASSWORD_CACHE_H
#define SF_PASSWORD_CACHE_H

#include "core/http/request.h"

#include <apr_errno.h>
#include <apr_pools.h>

/* A credential with the right password. */
typedef struct {
    char generation[SF_GENERATION_LENGTH + 1]; /* of its secret */
    char account[SF_SID_LENGTH + 1];           /* the SID of its account */
} sf_known_credential;

/* Makes the child's cache. Called from child_init. Returns APR_SUCCESS; APR_EGENERAL where
 * OpenSSL has no random bytes; or the error of a pool or mutex. */
apr_status_t sf_password_cache_init(apr_pool_t *pool);

/* Finds the entry of this credential of this database, if `password` is its secret. Returns 0
 * otherwise. Compares in constant time. */
int sf_password_cache_find(int database, const char *credential, const char *password,
                           sf_known_credential *known);

/* Keeps the password as right. The cache has a keyed hash of it, not the password. */
void sf_password_cache_keep(int database, const char *credential, const char *password,
                            const sf_known_credential *known);

#endif
