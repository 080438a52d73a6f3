#include "runtime/runner/decisions.h"

#include "runtime/protocol/protocol.h"

#include <string.h>

/* Microseconds between two attempts of a group that a limit keeps from starting an isolate. */
#define RETRY 100000

/* Microseconds that an isolate of an older Build stays idle. */
#define SUPERSEDED 1000000

#define FOR_EACH_GROUP(group, pool) APR_RING_FOREACH(group, &(pool)->groups, sf_group, link)
#define FOR_EACH_ISOLATE(isolate, group)                                                           \
    APR_RING_FOREACH(isolate, &(group)->isolates, sf_isolate, link)


/* Limits -------------------------------------------------------------------------------------- */

/* Of the machine's isolates, how many one account may have. */
static int share_of_account(int isolates)
{
    return isolates - isolates / 4;
}

/* Returns the first limit that keeps the group from having one isolate more. */
static sf_limit limit_of(const sf_pool *pool, const sf_group *group)
{
    const sf_demand *demand = &group->demand;

    if (group->environment->live >= demand->concurrency) {
        return SF_LIMIT_ENVIRONMENT;
    }
    if (group->environment->account->live >= share_of_account(demand->isolates)) {
        return SF_LIMIT_ACCOUNT;
    }
    return pool->live >= demand->isolates ? SF_LIMIT_MACHINE : SF_LIMIT_NONE;
}

/* Whether an isolate of `other` less would help the group at a limit. */
static int is_within(sf_limit limit, const sf_group *group, const sf_group *other)
{
    switch (limit) {
    case SF_LIMIT_ENVIRONMENT:
        return other->environment == group->environment;
    case SF_LIMIT_ACCOUNT:
        return other->environment->account == group->environment->account;
    default:
        return 1;
    }
}

/* Whether a group may take an isolate that `other` uses: within an Environment always, between Environments
 * from one that has more. */
static int may_take(const sf_group *group, const sf_group *other)
{
    const int has = group->environment->live;

    return other->environment == group->environment || has == 0
           || has + 1 < other->environment->live;
}

/* Returns the isolate of other groups, in the state and within the limit, that has been in it for longest and
 * was not recalled in the last second; or NULL. */
static sf_isolate *find_oldest(const sf_pool *pool, const sf_group *group, sf_isolate_state state,
                               apr_time_t now)
{
    sf_isolate *oldest = NULL;
    const sf_group *other;
    sf_isolate *isolate;

    FOR_EACH_GROUP(other, pool)
    {
        if (other == group || !is_within(group->limit, group, other)
            || (state == SF_ISOLATE_LEASED && !may_take(group, other))) {
            continue;
        }
        FOR_EACH_ISOLATE(isolate, other)
        {
            if (isolate->state == state && isolate->recalled + SF_DECIDE_RECALL <= now
                && (!oldest || isolate->since < oldest->since)) {
                oldest = isolate;
            }
        }
    }
    return oldest;
}

/* Ends the idle isolate that was used longest ago, within the group's limit. Returns whether there is one;
 * if not, asks the child that has leased one for longest to return it, every RETRY. */
static int make_room(sf_pool *pool, sf_group *group, apr_time_t now)
{
    sf_isolate *isolate = find_oldest(pool, group, SF_ISOLATE_IDLE, now);

    if (isolate) {
        sf_pool_end(pool, isolate, "room for another Environment", now);
        return 1;
    }
    if (group->recalled + RETRY > now) {
        return 0;
    }
    isolate = find_oldest(pool, group, SF_ISOLATE_LEASED, now);
    if (isolate) {
        isolate->recalled = now;
        group->recalled = now;
        pool->hooks.recall(pool->hooks.data, isolate->holder, isolate->group->environment->sid,
                           NULL, 1);
    }
    return 0;
}


/* Idle isolates to leases --------------------------------------------------------------------- */

/* Returns the idle isolate of the group that was used last, or NULL. */
static sf_isolate *find_idle(const sf_group *group)
{
    sf_isolate *newest = NULL;
    sf_isolate *isolate;

    FOR_EACH_ISOLATE(isolate, group)
    {
        if (isolate->state == SF_ISOLATE_IDLE && (!newest || isolate->since >= newest->since)) {
            newest = isolate;
        }
    }
    return newest;
}

/* Whether a lease of another group, which waits at a limit, comes before the lease: it has waited for
 * longer, and its Environment has fewer isolates. */
static int is_needed_elsewhere(const sf_pool *pool, const sf_lease *lease)
{
    const sf_group *other;

    FOR_EACH_GROUP(other, pool)
    {
        if (other != lease->group && other->limit != SF_LIMIT_NONE && other->limit != SF_LIMIT_CORES
            && other->waiting_count > other->starting
            && is_within(other->limit, other, lease->group) && may_take(other, lease->group)
            && APR_RING_FIRST(&other->waiting)->since < lease->since) {
            return 1;
        }
    }
    return 0;
}

static void hand_out(sf_pool *pool, sf_group *group, apr_time_t now)
{
    sf_isolate *isolate;

    while (group->waiting_count > 0 && (isolate = find_idle(group)) != NULL) {
        sf_lease *lease = APR_RING_FIRST(&group->waiting);

        if (is_needed_elsewhere(pool, lease)) {
            sf_pool_end(pool, isolate, "room for another Environment", now);
            return;
        }
        sf_pool_grant(pool, isolate, lease, now);
    }
}

/* Returns the time at which a lease has waited for too long. */
static apr_time_t expires_at(const sf_lease *lease)
{
    const apr_time_t wait = lease->is_held ? apr_time_from_sec(SF_DELIVERY_SECONDS)
                                           : apr_time_from_msec(lease->demand.wait);

    return lease->since + wait + apr_time_from_sec(SF_KEPT_SECONDS);
}

/* Removes the leases that have waited for too long and were not cancelled. */
static void drop_expired(sf_pool *pool, sf_group *group, apr_time_t now)
{
    int count = group->waiting_count;

    while (count-- > 0) { /* the group may go with its last lease */
        sf_lease *lease = APR_RING_FIRST(&group->waiting);

        if (now < expires_at(lease)) {
            return;
        }
        pool->counts.expired++;
        sf_pool_remove_lease(pool, lease);
    }
}


/* Starts -------------------------------------------------------------------------------------- */

/* Returns the number of leases that an isolate which starts will get, or the refusal of one that could not start. */
static int answered(const sf_group *group)
{
    return group->starting + group->failing;
}

/* Whether a lease of the group waits that no other isolate will answer. */
static int has_unanswered(const sf_group *group)
{
    return group->waiting_count > answered(group);
}

/* Whether an isolate is to be started that no lease waits for. */
static int is_spare_missing(const sf_group *group)
{
    return group->wants_spare && group->environment->newest == group
           && answered(group) <= group->waiting_count && !find_idle(group);
}

/* Returns the time from which the group wants to start an isolate: when the first lease that no other isolate will answer
 * has waited long enough. 0 is now, and -1 never. */
static apr_time_t time_of_start(const sf_group *group)
{
    const sf_lease *lease = APR_RING_FIRST(&group->waiting);
    int i;

    if (!group->build->is_stored) {
        return -1;
    }
    if (is_spare_missing(group)) {
        return 0;
    }
    if (!has_unanswered(group)) {
        return -1;
    }
    if (group->live == 0) {
        return 0;
    }
    for (i = 0; i < answered(group); i++) {
        lease = APR_RING_NEXT(lease, link);
    }
    return lease->since + SF_DECIDE_PATIENCE;
}

static int wants_start(const sf_group *group, apr_time_t now)
{
    const apr_time_t from = time_of_start(group);

    return from >= 0 && from <= now;
}

static apr_time_t waiting_since(const sf_group *group)
{
    return group->waiting_count > 0 ? APR_RING_FIRST(&group->waiting)->since : APR_INT64_MAX;
}

/* Whether `group` comes before `other`. A spare isolate comes after all for which a lease waits. */
static int comes_before(const sf_group *group, const sf_group *other)
{
    const sf_environment *a = group->environment;
    const sf_environment *b = other->environment;

    if (has_unanswered(group) != has_unanswered(other)) {
        return has_unanswered(group);
    }
    if (a->account->live != b->account->live) {
        return a->account->live < b->account->live;
    }
    if (a->live != b->live) {
        return a->live < b->live;
    }
    return waiting_since(group) < waiting_since(other);
}

/* Returns the group that is to start the next isolate, or NULL. */
static sf_group *next_to_start(const sf_pool *pool, apr_time_t now)
{
    sf_group *first = NULL;
    sf_group *group;

    FOR_EACH_GROUP(group, pool)
    {
        if (group->limit == SF_LIMIT_NONE && wants_start(group, now)
            && (!first || comes_before(group, first))) {
            first = group;
        }
    }
    return first;
}

/* Starts an isolate of the group, or sets the limit that keeps it from that. */
static void try_to_start(sf_pool *pool, sf_group *group, apr_time_t now)
{
    if (pool->starting >= pool->cores) {
        group->limit = SF_LIMIT_CORES;
        return;
    }
    while ((group->limit = limit_of(pool, group)) != SF_LIMIT_NONE) {
        group->wants_spare = 0;
        if (!wants_start(group, now) || !make_room(pool, group, now)) {
            return;
        }
    }
    sf_pool_start(pool, group, now);
}

static void start_isolates(sf_pool *pool, apr_time_t now)
{
    sf_group *group;

    FOR_EACH_GROUP(group, pool)
    {
        group->limit = SF_LIMIT_NONE;
        group->wants_spare = is_spare_missing(group);
    }
    while ((group = next_to_start(pool, now)) != NULL) {
        try_to_start(pool, group, now);
    }
}


/* Recall -------------------------------------------------------------------------------------- */

/* Returns the child of all leases that wait in the group, or NULL where they are of several. */
static const void *sole_asker(const sf_group *group)
{
    const void *asker = APR_RING_FIRST(&group->waiting)->key.holder;
    const sf_lease *lease;

    APR_RING_FOREACH(lease, &group->waiting, sf_lease, link)
    {
        if (lease->key.holder != asker) {
            return NULL;
        }
    }
    return asker;
}

/* Marks the isolates of the group that the child has leased as recalled. */
static void mark_recalled(sf_group *group, const void *holder, apr_time_t now)
{
    sf_isolate *isolate;

    FOR_EACH_ISOLATE(isolate, group)
    {
        if (isolate->holder == holder) {
            isolate->recalled = now;
        }
    }
}

/* Asks the children that have leased isolates of the group to return them, where leases of other children
 * wait. Each is asked once a second, and again where it has got an isolate since. */
static void recall(sf_pool *pool, sf_group *group, apr_time_t now)
{
    const void *asker = group->waiting_count > 0 ? sole_asker(group) : NULL;
    sf_isolate *isolate;

    if (group->waiting_count == 0) {
        return;
    }
    FOR_EACH_ISOLATE(isolate, group)
    {
        if (isolate->state == SF_ISOLATE_LEASED && isolate->holder != asker
            && isolate->recalled + SF_DECIDE_RECALL <= now) {
            mark_recalled(group, isolate->holder, now);
            pool->hooks.recall(pool->hooks.data, isolate->holder, group->environment->sid,
                               group->build->sid, group->waiting_count);
        }
    }
}


/* Ends ---------------------------------------------------------------------------------------- */

/* Returns the time at which an idle isolate ends. */
static apr_time_t end_of_idle(const sf_isolate *isolate)
{
    const sf_group *group = isolate->group;
    const sf_environment *environment = group->environment;
    const int times = environment->live == 1 ? SF_DECIDE_LAST : 1;

    if (environment->newest != group) {
        return isolate->since + SUPERSEDED;
    }
    return isolate->since + (apr_time_t)group->demand.idle * times * APR_USEC_PER_SEC;
}

/* Ends the isolates of the group that were idle for long enough. */
static void end_idle(sf_pool *pool, const sf_group *group, apr_time_t now)
{
    sf_isolate *isolate;

    FOR_EACH_ISOLATE(isolate, group)
    {
        if (isolate->state == SF_ISOLATE_IDLE && end_of_idle(isolate) <= now) {
            sf_pool_end(pool, isolate, group->environment->newest == group ? "idle" : "superseded",
                        now);
        }
    }
}


/* All ----------------------------------------------------------------------------------------- */

static apr_time_t earlier(apr_time_t a, apr_time_t b)
{
    return a < b ? a : b;
}

/* Returns the time of the group's next decision. */
static apr_time_t next_of_group(const sf_group *group, apr_time_t now)
{
    apr_time_t next = now + APR_USEC_PER_SEC;
    const apr_time_t start = time_of_start(group);
    const sf_isolate *isolate;

    if (start >= 0) {
        next = earlier(next, start > now ? start : now + RETRY);
    }
    FOR_EACH_ISOLATE(isolate, group)
    {
        if (isolate->state == SF_ISOLATE_IDLE) {
            next = earlier(next, end_of_idle(isolate));
        }
    }
    return next;
}

apr_time_t sf_decide(sf_pool *pool, apr_time_t now)
{
    apr_time_t next = now + 60 * APR_USEC_PER_SEC;
    sf_group *group;
    sf_group *following;

    pool->is_changed = 0;
    APR_RING_FOREACH_SAFE(group, following, &pool->groups, sf_group, link)
    {
        drop_expired(pool, group, now);
    }
    FOR_EACH_GROUP(group, pool)
    {
        hand_out(pool, group, now);
    }
    start_isolates(pool, now);
    FOR_EACH_GROUP(group, pool)
    {
        recall(pool, group, now);
        end_idle(pool, group, now);
        next = earlier(next, next_of_group(group, now));
    }
    return next;
}
