/* The ownership cache of a child: the account of a credential and a Service that a statement has
 * found, so that later reads need not find it again. An entry is valid while the database's
 * credentials_epoch is the entry's (012_credentials_tag.sql). A batch of reads begins with the
 * epoch, and the reader compares the two: a request that starts after a revocation was committed,
 * on any node, is refused. */
#ifndef SF_OWNERSHIP_CACHE_H
#define SF_OWNERSHIP_CACHE_H

#include "core/db/db.h"
#include "core/http/request.h"

/* The account that owns the Service, and the epoch at that time, both as PostgreSQL prints a uuid. */
typedef struct {
    char account[SF_UUID_LENGTH + 1];
    char credentials_epoch[SF_UUID_LENGTH + 1];
} sf_ownership;

/* Makes the child's cache. Called from child_init. Returns APR_SUCCESS or the error of a pool or
 * mutex. */
apr_status_t sf_ownership_cache_init(apr_pool_t *pool);

/* Finds the entry of the request's credential, as it was authenticated, and of the Service that
 * its path names by SID. Returns 0 where there is none. */
int sf_ownership_cache_find(const sf_request *request, sf_ownership *ownership);

/* Keeps the account for the request's credential and Service. Does nothing if the path has no
 * Service's SID. */
void sf_ownership_cache_keep(const sf_request *request, const sf_ownership *ownership);

#endif
