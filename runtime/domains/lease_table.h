/* The leases of this child, and the calls that wait for one: the data. lease_rules.h has the rules. One mutex
 * guards everything here. A lease in the state SF_LEASE_BUSY belongs to the thread of its call, which may use
 * `line` and `output` without the mutex. */
#ifndef SF_LEASE_TABLE_H
#define SF_LEASE_TABLE_H

#include "runtime/domains/call_output.h"
#include "runtime/domains/line.h"
#include "runtime/protocol/runner_link.h"

#include "core/sid.h"

#include <apr_ring.h>
#include <apr_tables.h>
#include <apr_thread_cond.h>

#define SF_CAUSE_BYTES 160

/* Isolates are leased for a Build in an Environment. Unused bytes are 0. */
typedef struct {
    char environment[SF_UUID_LENGTH + 1];
    char build[SF_UUID_LENGTH + 1];
} sf_lease_key;

typedef enum {
    SF_LEASE_BUSY,     /* a call has it */
    SF_LEASE_SETTLING, /* its call was answered, and its isolate has not said IDLE yet */
    SF_LEASE_IDLE
} sf_lease_state;

/* The limits after which an isolate is not used again. */
typedef struct {
    apr_uint64_t calls;
    apr_uint64_t rss;
} sf_lease_limits;

typedef struct sf_lease {
    APR_RING_ENTRY(sf_lease) entry; /* in its group's ring for the state */
    struct sf_lease_group *group;
    sf_runner_link *runner; /* NULL where that connection was lost */
    uint32_t isolate;
    sf_lease_state state;
    apr_time_t since;   /* when the state began, by sf_clock_now() */
    apr_time_t granted; /* when the runner granted it, by sf_clock_now() */
    int is_told;        /* the runner knows that its call lasts for long */
    int is_new;         /* it has had no call in this child */
    int is_cold;        /* its isolate was started for its first lease */
    sf_lease_limits limits;
    sf_call_output output;      /* of the last call, until the isolate says IDLE */
    char cause[SF_CAUSE_BYTES]; /* why the isolate has ended, or "" */
    sf_line line;
} sf_lease;

APR_RING_HEAD(sf_lease_ring, sf_lease);

typedef enum {
    SF_WAITER_WAITS,
    SF_WAITER_HAS_LEASE,
    SF_WAITER_SENDS_BUILD, /* the runner does not have the Build: the call's thread is to send it */
    SF_WAITER_REFUSED
} sf_waiter_state;

/* A call that waits, in memory of its thread. */
typedef struct sf_waiter {
    APR_RING_ENTRY(sf_waiter) entry; /* in its group's ring */
    struct sf_lease_group *group;
    apr_thread_cond_t *wake;
    sf_waiter_state state;
    sf_runner_link *runner;       /* which was asked for a lease, or NULL */
    uint32_t number;              /* of the lease that it was asked for */
    int sends_build;              /* the runner counts on this lease to bring the Build */
    apr_time_t ask_at;            /* when sf_lease_is_to_ask() decides about it */
    apr_time_t asked_until;       /* with `runner`: when it drops the request */
    apr_interval_time_t patience; /* how long it waits for an isolate */
    apr_time_t deadline;          /* when it has waited for too long */
    int is_held;     /* it waits for its Build to be on the machine, not for an isolate */
    sf_lease *lease; /* with SF_WAITER_HAS_LEASE */
    char reason[SF_CAUSE_BYTES]; /* of a refusal that is to be logged, or "" */
} sf_waiter;

APR_RING_HEAD(sf_waiter_ring, sf_waiter);

/* What a child has of one Build in one Environment. */
typedef struct sf_lease_group {
    sf_lease_key key;
    struct sf_lease_ring busy;     /* the call that has lasted for longest is first */
    struct sf_lease_ring idle;     /* the line used last is first */
    struct sf_lease_ring settling; /* the line answered last is first */
    struct sf_waiter_ring waiters; /* the call that has waited for longest is first */
    apr_time_t waiting_since;      /* since when there was always a waiter, if there is one */
    int lines;                     /* leases in all states */
    int users;                     /* threads that need the group to stay */
    apr_time_t spare_until;        /* until then, the runner presumably has a spare isolate */
    apr_time_t refused_at; /* when the runner refused an isolate; 0 since it has granted one */
    apr_time_t give_until; /* until then, lines go back to the runner: other children wait */
} sf_lease_group;

APR_RING_HEAD(sf_link_ring, sf_runner_link);

/* Makes the table. Called from child_init. Returns APR_SUCCESS or the error of a pool or mutex. */
apr_status_t sf_lease_table_init(apr_pool_t *pool);

void sf_lease_table_lock(void);

/* Unlocks the mutex, and then signals the condition of the last sf_waiter_wake(). */
void sf_lease_table_unlock(void);

/* All functions below are called with the mutex held. */

/* Waits for a condition, for at most `timeout`, without the mutex meanwhile. */
void sf_lease_table_wait(apr_thread_cond_t *wake, apr_interval_time_t timeout);

/* Returns a condition for a waiter, or NULL; and takes it back. It may be signalled once more later. */
apr_thread_cond_t *sf_lease_table_take_wake(void);
void sf_lease_table_free_wake(apr_thread_cond_t *wake);

/* Waits until an isolate's end was recorded (sf_lease_table_broadcast()), for at most `timeout`. */
void sf_lease_table_wait_for_end(apr_interval_time_t timeout);
void sf_lease_table_broadcast(void);

/* Returns the group of a key; makes it where there is none. */
sf_lease_group *sf_lease_group_enter(const sf_lease_key *key);

/* Calls a function with each group, in any order. The function may drop the group. */
typedef void sf_group_function(sf_lease_group *group, const void *data);
void sf_lease_group_each(sf_group_function *function, const void *data);

/* Drops the group if it has nothing. */
void sf_lease_group_leave(sf_lease_group *group);

/* Makes a busy lease of the group, for the descriptor of a line. */
sf_lease *sf_lease_enter(sf_lease_group *group, sf_runner_link *runner, uint32_t isolate,
                         int descriptor);

/* Takes a lease out of its group's ring, for a call. */
void sf_lease_take_out(sf_lease *lease);

/* Puts a busy lease into its group's ring for a state. */
void sf_lease_put(sf_lease *lease, sf_lease_state state);

/* Closes the line of a busy lease, and forgets the lease. Its group may be dropped. */
void sf_lease_leave(sf_lease *lease);

/* Finds the lease of an isolate, or returns NULL. */
sf_lease *sf_lease_find(const sf_runner_link *runner, uint32_t isolate);

/* All leases, busy or not, in any order. */
int sf_lease_count(void);
sf_lease *sf_lease_at(int index);

/* Returns the number of the machine's processors. */
int sf_lease_processors(void);

/* Adds a waiter to a group, behind all others, or takes it out. */
void sf_waiter_enter(sf_waiter *waiter, sf_lease_group *group);
void sf_waiter_leave(sf_waiter *waiter);

/* Begins the time that the waiter waits for an isolate. */
void sf_waiter_begin(sf_waiter *waiter);

/* The waiter's Build is on its way to the machine: it waits for that, for SF_DELIVERY_SECONDS at most. */
void sf_waiter_hold(sf_waiter *waiter);

/* The waiter's request has ended without a lease. */
void sf_waiter_end_request(sf_waiter *waiter);

/* Has the waiter's thread look at it again, once the mutex is free. */
void sf_waiter_wake(const sf_waiter *waiter);

/* Finds the waiter with a lease, or returns NULL. */
sf_waiter *sf_waiter_find(const sf_runner_link *runner, uint32_t lease);

/* Returns the group's first waiter that has nothing yet, or NULL. */
sf_waiter *sf_waiter_first(sf_lease_group *group);

/* The connections to runners. */
struct sf_link_ring *sf_lease_links(void);

/* Returns memory for a connection, and frees it. */
sf_runner_link *sf_lease_link_make(void);
void sf_lease_link_free(sf_runner_link *link);

/* Closes and frees a connection that is lost, if it has no users. */
void sf_lease_link_leave(sf_runner_link *link);

#endif
