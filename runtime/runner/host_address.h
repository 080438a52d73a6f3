/* The addresses of the machine, and their changes. */
#ifndef SF_HOST_ADDRESS_H
#define SF_HOST_ADDRESS_H

#include <apr_pools.h>

/* Returns the addresses of the family (AF_INET, AF_INET6) that the machine's interfaces have at present, each with ", " before
 * it; or NULL with errno set. */
const char *sf_host_addresses(apr_pool_t *pool, int family);

/* Returns whether the machine has a route of the family to the Internet. Nothing is sent. */
int sf_host_has_route(int family);

/* Opens a socket that can be read when an address may have been added. It is closed with the pool. Returns the descriptor, or
 * -1 with errno set. */
int sf_host_watch(apr_pool_t *pool);

/* Reads such a socket until it is empty, without waiting. */
void sf_host_watch_read(int watch);

#endif
