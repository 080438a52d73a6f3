#include "runtime/domains/lease_rules.h"

#include <apr_strings.h>
#include <string.h>

/* While other children wait, a child uses a line for its own calls for this time, at least for one of them. */
#define SHARE apr_time_from_msec(2)

/* A line that was idle for longer is checked before it is used. */
#define CHECKED_AFTER apr_time_from_msec(50)

#define FIGURES_BYTES 80

int sf_lease_is_given(const sf_lease_group *group)
{
    return group->give_until && sf_clock_now() < group->give_until;
}

int sf_lease_is_expected(sf_lease_group *group)
{
    const sf_waiter *waiter;

    if (group->busy > 0 || !APR_RING_EMPTY(&group->settling, sf_lease, entry)) {
        return 1;
    }
    APR_RING_FOREACH(waiter, &group->waiters, sf_waiter, entry)
    {
        if (waiter->runner) {
            return 1;
        }
    }
    return 0;
}

int sf_lease_is_wanted(sf_lease_group *group)
{
    return sf_lease_is_given(group) || sf_waiter_first(group);
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
    sf_runner_link *runner = lease->runner;
    const uint32_t isolate = lease->isolate;
    const int is_gone = *lease->cause != '\0';
    char reason[FIGURES_BYTES];

    apr_snprintf(reason, sizeof(reason), "{\"cause\":\"%s\"}", cause);
    sf_call_output_end(&lease->output);
    sf_lease_leave(lease);
    if (runner && !is_gone) {
        sf_runner_link_say(runner, SF_CONTROL_KILL, isolate, reason);
    }
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

/* Gives a lease that was in use here to a waiter, which may have asked the runner for another one. */
static void hand_over(sf_lease *lease, sf_waiter *waiter)
{
    if (waiter->runner) {
        sf_runner_link_say(waiter->runner, SF_CONTROL_CANCEL, waiter->number, "");
        waiter->runner = NULL;
    }
    sf_lease_hand(lease, waiter);
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
    sf_waiter *waiter;

    group->users++;
    sf_lease_return(lease);
    waiter = sf_waiter_first(group);
    if (waiter && !sf_lease_is_expected(group)) {
        waiter->ask_at = 0;
        sf_waiter_wake(waiter);
    }
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
