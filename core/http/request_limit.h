/* Limits the requests that one account, and all accounts together, have under way at a time in all
 * children of this httpd (ServerlessMaxRequestsPerAccount, ServerlessMaxRequests). A request holds a
 * thread of httpd for as long as its client takes to send the body or to read the answer, so that
 * without a limit one account can hold all threads.
 *
 * A table in shared memory has an entry for each request under way. An entry names the child that
 * made it, and the entries of a child that ends are removed. */
#ifndef SF_REQUEST_LIMIT_H
#define SF_REQUEST_LIMIT_H

#include "core/error.h"

#include <ap_mpm.h>

/* Makes the table. Called from post_config, for each generation of children a new one: requests
 * that the last generation finishes after a graceful restart are not counted. Returns APR_SUCCESS
 * or the error of the shared memory. */
apr_status_t sf_request_limit_init(apr_pool_t *pool);

/* Learns the child's process id. Called from child_init. */
void sf_request_limit_child_init(void);

/* The hook child_status, which the parent process runs: removes the entries of a child that has
 * ended. */
void sf_request_limit_child_status(server_rec *s, pid_t pid, ap_generation_t generation, int slot,
                                   mpm_child_status status);

/* Adds the request to those of the account with this SID, until the request's pool is destroyed:
 * the answer is sent then, or the connection aborted. NULL is the account of all clients that are
 * not authenticated. A request that is counted already stays counted once.
 *
 * Returns NULL, or 503 where the account has as many requests as it may have; or where all accounts
 * together have as many as they may have, and this account has one or more of them. */
const sf_error *sf_request_limit_add(request_rec *r, const char *account);

/* Whether the request is counted. */
int sf_request_limit_has(request_rec *r);

#endif
