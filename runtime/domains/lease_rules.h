/* The rules of leases: which call gets a line, and when a line goes back to the runner. All functions are called
 * with the mutex of lease_table.h held. */
#ifndef SF_LEASE_RULES_H
#define SF_LEASE_RULES_H

#include "runtime/domains/lease_table.h"

/* How long an isolate has after its answer until it says IDLE. */
#define SF_SETTLE_TIME apr_time_from_sec(1)

/* Takes an idle lease of the group for a call, the line used last first; or one that its isolate has freed
 * meanwhile. Returns NULL where there is none. The caller is one of the group's users. */
sf_lease *sf_lease_pick(sf_lease_group *group);

/* Finds out what to do with a busy lease without a call: it goes back to the runner where the isolate has
 * reached its limits, or other children wait; else to the call of its group that has waited for longest; else it
 * stays here, idle. */
void sf_lease_place(sf_lease *lease);

/* Gives a new lease to a call that waits. */
void sf_lease_hand(sf_lease *lease, sf_waiter *waiter);

/* Reads what an isolate has sent after its answer. Returns SF_LINE_OK once it has said IDLE, SF_LINE_LATE while it
 * has not, or an error. */
sf_line_result sf_lease_settle(sf_lease *lease);

/* Settles the leases of a group: places those that are idle, and has isolates killed that break the protocol or
 * are late. */
void sf_lease_settle_group(sf_lease_group *group);

/* Tells the runner of calls that last for long, where all other calls of the group have one line: a spare isolate keeps
 * them from waiting for a start once the next long call takes that line. */
void sf_lease_tell_long_calls(sf_lease_group *group);

/* Gives a busy lease back to the runner. */
void sf_lease_return(sf_lease *lease);

/* Has the isolate of a busy lease killed, for a cause of the protocol: "timeout", "protocol" or "busy". */
void sf_lease_destroy(sf_lease *lease, const char *cause);

/* Whether another thread waits for a lease of the group, here or in another child. */
int sf_lease_is_wanted(sf_lease_group *group);

/* Returns when a call of the group that begins to wait asks the runner for a lease: at once where no other call has a
 * line or has asked, or where calls have waited without a break and processors are left; else after a few milliseconds. */
apr_time_t sf_lease_ask_time(sf_lease_group *group);

/* Whether a call that waits, and has not asked the runner, is to do so now; else `ask_at` says when to look again. After a
 * refusal, one call of the group asks at a time, a second later, as long as the group has other lines. */
int sf_lease_is_to_ask(sf_waiter *waiter);

/* The runner has refused the lease that a waiter asked for. The call goes on to wait where its group has other lines. */
void sf_lease_refuse(sf_waiter *waiter);

/* Whether leases of the group go back to the runner after each call. */
int sf_lease_is_given(const sf_lease_group *group);

#endif
