/* Which passwords this child has checked, so that not every request asks the database about its own.
 * Forgetting is never needed for safety in the API: each of its statements names the generation of the
 * secret that was checked, and the database refuses one that is revoked, suspended or replaced. */
#ifndef SF_PASSWORD_CACHE_H
#define SF_PASSWORD_CACHE_H

#include <apr_errno.h>
#include <apr_pools.h>

/* Makes the child's cache. Called from child_init. */
apr_status_t sf_password_cache_init(apr_pool_t *pool);

/* The generation of the secret that was found right for this credential of this database, if that is
 * the password; else NULL. Compares in constant time. */
const char *sf_password_cache_find(apr_pool_t *pool, int database, const char *credential,
                                   const char *password);

/* Remembers that it is right. */
void sf_password_cache_keep(int database, const char *credential, const char *password,
                            const char *generation);

#endif
