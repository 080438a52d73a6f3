/* Which Services this child has seen to be a credential's, so that reads need not ask again. What is
 * remembered holds as long as the database's credentials_tag is the same (012_credentials_tag.sql): who
 * uses it compares that with the tag which a batch of reads begins with. So a request that starts after
 * a revocation was committed is refused, on whichever node that was made. */
#ifndef SF_OWNERSHIP_CACHE_H
#define SF_OWNERSHIP_CACHE_H

#include "core/db/db.h"
#include "core/http/request.h"

/* Whose the Service is, and under which tag that was seen; both as PostgreSQL prints a uuid. */
typedef struct {
    char account[SF_UUID_LENGTH + 1];
    char credentials_tag[SF_UUID_LENGTH + 1];
} sf_ownership;

/* Makes the child's memory. Called from child_init. */
apr_status_t sf_ownership_cache_init(apr_pool_t *pool);

/* What is remembered of the request's credential, as it was authenticated, and of the Service that its
 * path names by SID. Returns 0 where that is nothing. */
int sf_ownership_cache_find(const sf_request *request, sf_ownership *ownership);

/* Remembers it. */
void sf_ownership_cache_keep(const sf_request *request, const sf_ownership *ownership);

#endif
