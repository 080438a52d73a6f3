#include "runtime/domains/lease_rules.h"

#include <apr_strings.h>
#include <string.h>

/* While other children wait, a child uses a line for its own calls for this time, at least for one of them. */
#define SHARE apr_time_from_msec(2)

/* A line that was idle for longer is checked before it is used. */
#define CHECKED_AFTER apr_time_from_msec(50)

/* A call waits for a line of its own child before it asks the runner for another one: starting an isolate takes
 * longer than most calls. */
#define LOCAL_WAIT apr_time_from_msec(5)

/* A call is long after this time: its line is not expected to be free soon. */
#define LONG_CALL apr_time_from_msec(100)

/* After the runner has refused another isolate, the calls of a group wait for its lines until one of them asks again. */
#define REFUSED_PAUSE apr_time_from_sec(1)

/* How long a spare isolate of the runner is counted upon. */
#define SPARE_TIME apr_time_from_sec(10)

#define FIGURES_BYTES 80

int sf_lease_is_given(const sf_lease_group *group)
{
    return group->give_until && sf_clock_now() < group->give_until;
}

int sf_lease_is_wanted(sf_lease_group *group)
{
    return sf_lease_is_given(group) || sf_waiter_first(group);
}


/* Requests to the runner ------------------------------------------------------------------------- */

/* Whether a call that waits has asked the runner. */
static int has_asked(sf_lease_group *group)
{
    const sf_waiter *waiter;

    APR_RING_FOREACH(waiter, &group->waiters, sf_waiter, entry)
    {
        if (waiter->runner) {
            return 1;
        }
    }
    return 0;
}

/* Whether a line may soon be free for a call that begins to wait: another call uses one, or has asked the runner. */
static int is_expected(sf_lease_group *group)
{
    return !APR_RING_EMPTY(&group->busy, sf_lease, entry)
           || !APR_RING_EMPTY(&group->settling, sf_lease, entry) || has_asked(group);
}

/* Has a call of the group that waits ask the runner now, unless a line may soon be free for it. */
static void ask_again(sf_lease_group *group)
{
    sf_waiter *waiter = sf_waiter_first(group);

    if (waiter && !is_expected(group)) {
        waiter->ask_at = 0;
        sf_waiter_wake(waiter);
    }
}

/* Returns the number of a group's lines without long calls. `*count` is the number of its lines with long calls: the
 * first ones in the ring of busy leases. */
static int count_lines(sf_lease_group *group, int *count)
{
    const apr_time_t long_before = sf_clock_now() - LONG_CALL;
    const sf_lease *lease;

    *count = 0;
    APR_RING_FOREACH(lease, &group->busy, sf_lease, entry)
    {
        if (lease->since > long_before) {
            break;
        }
        ++*count;
    }
    return group->lines - *count;
}

/* Whether the machine has more processors than the group has lines without long calls. */
static int has_processors_left(sf_lease_group *group)
{
    int count;

    return count_lines(group, &count) < sf_lease_processors();
}

/* Whether a call asks the runner at once, though a line may soon be free: the runner has a spare isolate, or calls have
 * waited without a break for so long that the group can use another isolate, though each of them may have waited for
 * less. More isolates than processors would make such calls slower. */
static int asks_at_once(sf_lease_group *group, apr_time_t now)
{
    const int is_crowded = sf_waiter_first(group) && group->waiting_since + LOCAL_WAIT <= now;

    return (is_crowded || now < group->spare_until) && has_processors_left(group)
           && !has_asked(group);
}

apr_time_t sf_lease_ask_time(sf_lease_group *group)
{
    const apr_time_t now = sf_clock_now();

    return is_expected(group) && !asks_at_once(group, now) ? now + LOCAL_WAIT : 0;
}

/* Whether a line of the ring can come to another call: its runner is there, and does not hand over. */
static int has_line_of(const struct sf_lease_ring *ring)
{
    const sf_lease *lease;

    APR_RING_FOREACH(lease, ring, sf_lease, entry)
    {
        if (lease->runner && !lease->runner->leaving) {
            return 1;
        }
    }
    return 0;
}

static int has_line(const sf_lease_group *group)
{
    return has_line_of(&group->busy) || has_line_of(&group->settling);
}

int sf_lease_is_to_ask(sf_waiter *waiter)
{
    sf_lease_group *group = waiter->group;
    const apr_time_t now = sf_clock_now();
    apr_time_t from = waiter->ask_at;

    if (waiter->runner) {
        return 0;
    }
    if (from <= now && group->refused_at && has_line(group)) {
        from = (has_asked(group) ? now : group->refused_at) + REFUSED_PAUSE;
        waiter->ask_at = from;
    }
    return from <= now;
}

void sf_lease_refuse(sf_waiter *waiter)
{
    sf_lease_group *group = waiter->group;

    group->refused_at = sf_clock_now();
    if (!has_line(group)) {
        waiter->state = SF_WAITER_REFUSED;
        ask_again(group);
    }
}

void sf_lease_tell_long_calls(sf_lease_group *group)
{
    sf_lease *lease = APR_RING_FIRST(&group->busy);
    int count;

    if (count_lines(group, &count) != 1) {
        return;
    }
    for (; count > 0; count--) {
        if (!lease->is_told && lease->runner && lease->runner->takes_long) {
            lease->is_told = 1;
            group->spare_until = sf_clock_now() + SPARE_TIME;
            sf_runner_link_say(lease->runner, SF_CONTROL_LONG, lease->isolate, "");
        }
        lease = APR_RING_NEXT(lease, entry);
    }
}


/* Ends ------------------------------------------------------------------------------------------- */

void sf_lease_return(sf_lease *lease)
{
    sf_runner_link *runner = lease->runner;
    const uint32_t isolate = lease->isolate;
    char figures[FIGURES_BYTES];

    apr_snprintf(figures, sizeof(figures),
                 "{\"calls\":%" APR_UINT64_T_FMT ",\"rss\":%" APR_UINT64_T_FMT "}",
                 lease->line.calls, lease->line.rss);
    sf_lease_leave(lease);
    if (runner) {
        sf_runner_link_say(runner, SF_CONTROL_RETURN, isolate, figures);
    }
}

void sf_lease_destroy(sf_lease *lease, const char *cause)
{
    sf_lease_group *group = lease->group;
    sf_runner_link *runner = lease->runner;
    const uint32_t isolate = lease->isolate;
    const int is_there = runner && !*lease->cause;
    char reason[FIGURES_BYTES];

    apr_snprintf(reason, sizeof(reason), "{\"cause\":\"%s\"}", cause);
    sf_call_output_end(&lease->output);
    group->users++;
    sf_lease_leave(lease);
    if (is_there) {
        group->spare_until = sf_clock_now() + SPARE_TIME;
        sf_runner_link_say(runner, SF_CONTROL_KILL, isolate, reason);
    }
    ask_again(group);
    group->users--;
    sf_lease_group_leave(group);
}


/* After the answer ------------------------------------------------------------------------------- */

sf_line_result sf_lease_settle(sf_lease *lease)
{
    sf_line_result result;
    sf_frame frame;

    for (;;) {
        result = sf_line_next(&lease->line, NULL, 0, &frame);
        if (result != SF_LINE_OK) {
            return result;
        }
        if (frame.type == SF_FRAME_IDLE) {
            sf_call_output_end(&lease->output);
            return sf_line_take_idle(&lease->line, &frame);
        }
        if (frame.type != SF_FRAME_LOG) {
            return SF_LINE_WRONG;
        }
        sf_call_output_add_frame(&lease->output, &frame);
    }
}

void sf_lease_settle_group(sf_lease_group *group)
{
    const apr_time_t late = sf_clock_now() - SF_SETTLE_TIME;
    sf_lease *lease;
    sf_lease *next;

    group->users++;
    for (lease = APR_RING_FIRST(&group->settling);
         lease != APR_RING_SENTINEL(&group->settling, sf_lease, entry); lease = next) {
        const sf_line_result result = sf_lease_settle(lease);

        next = APR_RING_NEXT(lease, entry);
        if (result == SF_LINE_OK) {
            sf_lease_take_out(lease);
            sf_lease_place(lease);
        }
        else if (result != SF_LINE_LATE || lease->since < late) {
            sf_lease_take_out(lease);
            sf_lease_destroy(lease, result == SF_LINE_LATE ? "busy" : "protocol");
        }
    }
    group->users--;
    sf_lease_group_leave(group);
}


/* Leases for calls ------------------------------------------------------------------------------- */

void sf_lease_hand(sf_lease *lease, sf_waiter *waiter)
{
    waiter->lease = lease;
    waiter->state = SF_WAITER_HAS_LEASE;
    sf_waiter_wake(waiter);
}

/* Returns the waiter that takes over the request of another one, or NULL: it would wait in vain where the runner dropped
 * the request before. */
static sf_waiter *next_to_ask(const sf_waiter *from)
{
    sf_waiter *waiter;

    if (from->is_held || !has_processors_left(from->group)) {
        return NULL;
    }
    APR_RING_FOREACH(waiter, &from->group->waiters, sf_waiter, entry)
    {
        if (waiter->state == SF_WAITER_WAITS && !waiter->runner
            && waiter->deadline < from->asked_until) {
            return waiter;
        }
    }
    return NULL;
}

/* Ends the request of a waiter that has a lease: cancels it, or passes it on to another call. */
static void end_request(sf_waiter *waiter)
{
    sf_waiter *next = next_to_ask(waiter);

    if (next) {
        next->runner = waiter->runner;
        next->number = waiter->number;
        next->asked_until = waiter->asked_until;
    }
    else {
        sf_runner_link_say(waiter->runner, SF_CONTROL_CANCEL, waiter->number, "");
        waiter->group->spare_until = 0;
    }
    waiter->runner = NULL;
}

/* Gives a lease that was in use here to a waiter, which may have asked the runner for another one. */
static void hand_over(sf_lease *lease, sf_waiter *waiter)
{
    sf_lease_take_out(lease);
    sf_lease_hand(lease, waiter);
    if (waiter->runner) {
        end_request(waiter);
    }
}

/* Whether the isolate has had its calls, or uses too much memory, or is of a runner that hands over. */
static int is_worn_out(const sf_lease *lease)
{
    return !lease->runner || lease->runner->leaving
           || (lease->limits.calls && lease->line.calls >= lease->limits.calls)
           || (lease->limits.rss && lease->line.rss > lease->limits.rss);
}

/* Returns a lease, and has one of the calls that wait here ask for another one. */
static void return_and_ask(sf_lease *lease)
{
    sf_lease_group *group = lease->group;

    group->users++;
    sf_lease_return(lease);
    ask_again(group);
    group->users--;
    sf_lease_group_leave(group);
}

void sf_lease_place(sf_lease *lease)
{
    sf_waiter *waiter = sf_waiter_first(lease->group);

    lease->is_new = 0;
    if (is_worn_out(lease)
        || (sf_lease_is_given(lease->group)
            && (!waiter || sf_clock_now() >= lease->granted + SHARE))) {
        return_and_ask(lease);
    }
    else if (waiter) {
        hand_over(lease, waiter);
    }
    else {
        sf_lease_put(lease, SF_LEASE_IDLE);
    }
}

/* Whether an idle line can be used. */
static int is_usable(const sf_lease *lease)
{
    return sf_clock_now() - lease->since < CHECKED_AFTER || sf_line_is_quiet(&lease->line);
}

/* Returns an idle lease of the group, or NULL. */
static sf_lease *pick_idle(sf_lease_group *group)
{
    while (!APR_RING_EMPTY(&group->idle, sf_lease, entry)) {
        sf_lease *lease = APR_RING_FIRST(&group->idle);

        sf_lease_take_out(lease);
        if (is_usable(lease)) {
            return lease;
        }
        sf_lease_destroy(lease, "protocol");
    }
    return NULL;
}

/* Returns a lease with an isolate that has just said IDLE, or NULL. */
static sf_lease *pick_settled(sf_lease_group *group)
{
    sf_lease *lease;

    APR_RING_FOREACH(lease, &group->settling, sf_lease, entry)
    {
        if (sf_lease_settle(lease) == SF_LINE_OK) {
            sf_lease_take_out(lease);
            return lease;
        }
    }
    return NULL;
}

sf_lease *sf_lease_pick(sf_lease_group *group)
{
    sf_lease *lease = pick_idle(group);

    if (!lease) {
        lease = pick_settled(group);
    }
    if (lease && is_worn_out(lease)) {
        sf_lease_place(lease);
        return NULL;
    }
    return lease;
}
