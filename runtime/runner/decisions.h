/* The decisions about leases and isolates:
 *
 * - A lease gets an idle isolate of its group, the one used last; leases of a group in the order in which
 *   they came.
 * - Another isolate of a group is started where it has none, or where a lease has waited for 20 ms; at most
 *   as many at a time as the machine has processor cores.
 * - One isolate is started in advance, within the limits, where a child has killed one in a call, or says that a call
 *   lasts for long: the next such call may take the last isolate that others use. An idle one, or one that starts and
 *   that no lease waits for, is enough.
 * - Limits, in this order: the Environment's isolates, the account's share of the machine (three quarters of
 *   its isolates), the machine's. At a limit, the idle isolate that was used longest ago makes room; else
 *   a child is asked to return one.
 * - Of groups that want to start one, those where a lease waits come before those that want a spare one; then the
 *   account with the fewest isolates comes first, then the Environment with the fewest, then the lease that has waited
 *   longest. */
#ifndef SF_DECISIONS_H
#define SF_DECISIONS_H

#include "runtime/runner/pool.h"

/* Microseconds. */
#define SF_DECIDE_PATIENCE 20000
#define SF_DECIDE_RECALL 1000000

/* The last isolate of an Environment may be idle for so many times longer. */
#define SF_DECIDE_LAST 5

/* Makes all decisions that are due. Returns the time at which there is something to decide again, if nothing
 * happens before. */
apr_time_t sf_decide(sf_pool *pool, apr_time_t now);

#endif
