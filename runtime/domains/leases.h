/* Leases for calls: runtime/README.md says what a lease is. Each function may be called by any thread of the
 * child. */
#ifndef SF_LEASES_H
#define SF_LEASES_H

#include "runtime/domains/domain.h"
#include "runtime/domains/lease_table.h"

/* Makes what a child needs. Called from child_init. Returns APR_SUCCESS or the error of a pool or mutex. All lines
 * go back to the runner as the pool is destroyed. */
apr_status_t sf_leases_init(apr_pool_t *pool);

/* Takes a line for a call of the request's Function. Waits for at most ServerlessQueueTimeout, and then again for
 * as long where this call had to send the Build to the runner.
 *
 * Returns OK; HTTP_TOO_MANY_REQUESTS where no line became free in time; HTTP_SERVICE_UNAVAILABLE where the runner
 * is away or refuses the lease, or the database fails, which has been logged; or SF_DOMAIN_GONE where content of
 * the Build was deleted. */
int sf_leases_take(sf_domain_request *request, sf_lease **lease);

/* Has the runner start the first isolate of the request's Build, where the Environment has isolates of another one,
 * and waits for it as sf_leases_take() would. It is no failure where that does not succeed: a call will start the
 * isolate then. */
void sf_leases_warm(sf_domain_request *request);

/* Gives a line back after the answer of its call: to the next call once its isolate says IDLE. Where it does not
 * within a second, it is killed. */
void sf_leases_give_back(sf_lease *lease);

/* Has the isolate killed, for a cause of the protocol, and forgets the line. */
void sf_leases_kill(sf_lease *lease, const char *cause);

/* Waits for a moment until the runner says why an isolate has ended. Writes that, or "". */
void sf_leases_find_cause(const sf_lease *lease, char cause[SF_CAUSE_BYTES]);

#endif
