/* Finds the route of a request to a domain, under a lease: docs/execution.md has the guarantee and its
 * proof. */
#ifndef SF_ROUTE_H
#define SF_ROUTE_H

#include "runtime/domains/domain.h"
#include "runtime/domains/host.h"

/* Finds the route of a key: in the node's table if it was read within its lease, else in the database.
 * Returns OK; HTTP_NOT_FOUND where there is no such Environment; or HTTP_SERVICE_UNAVAILABLE where
 * that cannot be known now, because the database did not answer in time, or too many names were asked
 * for that are not known. */
int sf_route_find(request_rec *r, const sf_route_key *key, sf_route *route);

/* Has the next sf_route_find() of a key read it from the database. */
void sf_route_forget(const sf_route_key *key);

#endif
