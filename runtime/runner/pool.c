#include "runtime/runner/pool.h"

#include "runtime/protocol/protocol.h"

#include <string.h>

sf_pool *sf_pool_make(apr_pool_t *pool, int cores, const sf_pool_hooks *hooks)
{
    sf_pool *made = apr_pcalloc(pool, sizeof(*made));

    made->pool = pool;
    apr_pool_create(&made->scratch, pool);
    made->hooks = *hooks;
    made->cores = cores;
    made->environments = apr_hash_make(pool);
    made->isolates = apr_hash_make(pool);
    made->leases = apr_hash_make(pool);
    made->accounts = apr_hash_make(pool);
    APR_RING_INIT(&made->groups, sf_group, link);
    APR_RING_INIT(&made->unused, sf_lease, link);
    return made;
}


/* Groups -------------------------------------------------------------------------------------- */

static sf_account *find_account(sf_pool *pool, const char *sid)
{
    sf_account *account = apr_hash_get(pool->accounts, sid, SF_SID_LENGTH);
    apr_pool_t *own;

    if (!account) {
        apr_pool_create(&own, pool->pool);
        account = apr_pcalloc(own, sizeof(*account));
        account->pool = own;
        memcpy(account->sid, sid, SF_SID_LENGTH);
        apr_hash_set(pool->accounts, account->sid, SF_SID_LENGTH, account);
    }
    return account;
}

static sf_environment *find_environment(sf_pool *pool, const sf_demand *demand)
{
    sf_environment *environment
        = apr_hash_get(pool->environments, demand->environment, SF_SID_LENGTH);
    apr_pool_t *own;

    if (!environment) {
        apr_pool_create(&own, pool->pool);
        environment = apr_pcalloc(own, sizeof(*environment));
        environment->pool = own;
        memcpy(environment->sid, demand->environment, SF_SID_LENGTH);
        environment->account = find_account(pool, demand->account);
        environment->account->environments++;
        apr_hash_set(pool->environments, environment->sid, SF_SID_LENGTH, environment);
    }
    return environment;
}

static sf_group *make_group(sf_pool *pool, sf_environment *environment, sf_build *build)
{
    apr_pool_t *own;
    sf_group *group;

    apr_pool_create(&own, pool->pool);
    group = apr_pcalloc(own, sizeof(*group));
    group->pool = own;
    group->environment = environment;
    group->build = build;
    APR_RING_INIT(&group->isolates, sf_isolate, link);
    APR_RING_INIT(&group->waiting, sf_lease, link);
    environment->groups++;
    build->groups++;
    APR_RING_INSERT_TAIL(&pool->groups, group, sf_group, link);
    return group;
}

/* Returns the group of a demand, which is made where it is missing. Its Build is the Environment's newest
 * from now on. */
static sf_group *find_group(sf_pool *pool, const sf_demand *demand, sf_build *build)
{
    sf_environment *environment = find_environment(pool, demand);
    sf_group *group;

    for (group = APR_RING_FIRST(&pool->groups);
         group != APR_RING_SENTINEL(&pool->groups, sf_group, link)
         && (group->environment != environment || group->build != build);
         group = APR_RING_NEXT(group, link)) {
    }
    if (group == APR_RING_SENTINEL(&pool->groups, sf_group, link)) {
        group = make_group(pool, environment, build);
    }
    group->demand = *demand;
    environment->newest = group;
    pool->is_changed = 1;
    return group;
}

static void release_environment(sf_pool *pool, sf_environment *environment)
{
    sf_account *account = environment->account;

    apr_hash_set(pool->environments, environment->sid, SF_SID_LENGTH, NULL);
    apr_pool_destroy(environment->pool);
    if (--account->environments == 0) {
        apr_hash_set(pool->accounts, account->sid, SF_SID_LENGTH, NULL);
        apr_pool_destroy(account->pool);
    }
}

/* Removes a group that has no isolate and no lease. */
static void release_group(sf_pool *pool, sf_group *group)
{
    sf_environment *environment = group->environment;

    if (!APR_RING_EMPTY(&group->isolates, sf_isolate, link)
        || !APR_RING_EMPTY(&group->waiting, sf_lease, link)) {
        return;
    }
    if (environment->newest == group) {
        environment->newest = NULL;
    }
    group->build->groups--;
    APR_RING_REMOVE(group, link);
    apr_pool_destroy(group->pool);
    if (--environment->groups == 0) {
        release_environment(pool, environment);
    }
}


/* Leases -------------------------------------------------------------------------------------- */

static sf_lease *make_lease(sf_pool *pool)
{
    sf_lease *lease;

    if (APR_RING_EMPTY(&pool->unused, sf_lease, link)) {
        return apr_palloc(pool->pool, sizeof(*lease));
    }
    lease = APR_RING_FIRST(&pool->unused);
    APR_RING_REMOVE(lease, link);
    return lease;
}

void sf_pool_add_lease(sf_pool *pool, sf_lease_key key, const sf_demand *demand, sf_build *build,
                       apr_time_t now)
{
    sf_lease *lease = make_lease(pool);

    memset(lease, 0, sizeof(*lease));
    lease->key = key;
    lease->demand = *demand;
    lease->since = now;
    lease->group = find_group(pool, demand, build);
    lease->group->waiting_count++;
    APR_RING_INSERT_TAIL(&lease->group->waiting, lease, sf_lease, link);
    apr_hash_set(pool->leases, &lease->key, sizeof(lease->key), lease);
    if (!build->is_stored && lease->group->waiting_count <= demand->concurrency) {
        lease->is_held = 1;
        pool->hooks.deliver(pool->hooks.data, lease, 0);
    }
}

/* Begins the time to wait of the group's leases that are held. */
static void release_held(const sf_pool *pool, sf_group *group, apr_time_t now)
{
    sf_lease *lease;

    APR_RING_FOREACH(lease, &group->waiting, sf_lease, link)
    {
        if (lease->is_held) {
            lease->is_held = 0;
            lease->since = now;
            pool->hooks.deliver(pool->hooks.data, lease, 1);
        }
    }
}

void sf_pool_set_stored(sf_pool *pool, sf_build *build, apr_time_t now)
{
    sf_group *group;

    build->is_stored = 1;
    pool->is_changed = 1;
    APR_RING_FOREACH(group, &pool->groups, sf_group, link)
    {
        if (group->build == build) {
            release_held(pool, group, now);
        }
    }
}

int sf_pool_is_used(const sf_pool *pool, const char *environment)
{
    const sf_environment *found = apr_hash_get(pool->environments, environment, SF_SID_LENGTH);

    return found && found->live > 0;
}

sf_lease *sf_pool_find_lease(const sf_pool *pool, sf_lease_key key)
{
    return apr_hash_get(pool->leases, &key, sizeof(key));
}

sf_lease *sf_pool_first_lease(const sf_pool *pool, const sf_build *build)
{
    sf_lease *first = NULL;
    const sf_group *group;

    APR_RING_FOREACH(group, &pool->groups, sf_group, link)
    {
        if (group->build == build && !APR_RING_EMPTY(&group->waiting, sf_lease, link)
            && (!first || APR_RING_FIRST(&group->waiting)->since < first->since)) {
            first = APR_RING_FIRST(&group->waiting);
        }
    }
    return first;
}

/* Removes a lease, and leaves its group. */
static void unlink_lease(sf_pool *pool, sf_lease *lease)
{
    apr_hash_set(pool->leases, &lease->key, sizeof(lease->key), NULL);
    APR_RING_REMOVE(lease, link);
    lease->group->waiting_count--;
    pool->is_changed = 1;
    APR_RING_INSERT_TAIL(&pool->unused, lease, sf_lease, link);
}

void sf_pool_remove_lease(sf_pool *pool, sf_lease *lease)
{
    sf_group *group = lease->group;

    unlink_lease(pool, lease);
    release_group(pool, group);
}

void sf_pool_refuse(sf_pool *pool, sf_lease *lease, const char *reason, const char *detail)
{
    pool->hooks.refuse(pool->hooks.data, lease, reason, detail);
    pool->counts.refused++;
    sf_pool_remove_lease(pool, lease);
}

void sf_pool_refuse_all(sf_pool *pool, const sf_build *build, const char *reason,
                        const char *detail)
{
    sf_group *group;
    sf_group *next;

    APR_RING_FOREACH_SAFE(group, next, &pool->groups, sf_group, link)
    {
        if (build && group->build != build) {
            continue;
        }
        while (!APR_RING_EMPTY(&group->waiting, sf_lease, link)) {
            sf_lease *lease = APR_RING_FIRST(&group->waiting);

            pool->hooks.refuse(pool->hooks.data, lease, reason, detail);
            pool->counts.refused++;
            unlink_lease(pool, lease);
        }
        release_group(pool, group);
    }
}


/* Isolates ------------------------------------------------------------------------------------ */

/* Adds to the numbers of isolates that limits count. */
static void count_live(sf_pool *pool, sf_group *group, int difference)
{
    pool->live += difference;
    group->live += difference;
    group->environment->live += difference;
    group->environment->account->live += difference;
    pool->is_changed = 1;
}

static void count_starting(sf_pool *pool, sf_group *group, int difference)
{
    pool->starting += difference;
    group->starting += difference;
}

static void set_state(sf_pool *pool, sf_isolate *isolate, sf_isolate_state state, apr_time_t now)
{
    if (isolate->state == SF_ISOLATE_STARTING) {
        sf_pool_resume(pool, isolate);
        count_starting(pool, isolate->group, -1);
    }
    isolate->state = state;
    isolate->since = now;
    pool->is_changed = 1;
}

sf_isolate *sf_pool_find_isolate(const sf_pool *pool, apr_uint32_t number)
{
    return apr_hash_get(pool->isolates, &number, sizeof(number));
}

static sf_isolate *make_isolate(sf_pool *pool, sf_group *group, apr_time_t now)
{
    apr_pool_t *own;
    sf_isolate *isolate;

    apr_pool_create(&own, pool->pool);
    isolate = apr_pcalloc(own, sizeof(*isolate));
    isolate->pool = own;
    isolate->group = group;
    isolate->number = ++pool->last_number;
    isolate->demand = group->demand;
    isolate->since = now;
    isolate->is_cold = 1;
    APR_RING_INSERT_TAIL(&group->isolates, isolate, sf_isolate, link);
    apr_hash_set(pool->isolates, &isolate->number, sizeof(isolate->number), isolate);
    count_live(pool, group, 1);
    count_starting(pool, group, 1);
    group->build->isolates++;
    return isolate;
}

/* Removes an isolate without a process, and leaves its group. */
static void unlink_isolate(sf_pool *pool, sf_isolate *isolate, apr_time_t now)
{
    sf_group *group = isolate->group;

    if (isolate->state != SF_ISOLATE_ENDING) {
        set_state(pool, isolate, SF_ISOLATE_ENDING, now);
        count_live(pool, group, -1);
    }
    group->build->isolates--;
    group->failing -= isolate->is_failed;
    apr_hash_set(pool->isolates, &isolate->number, sizeof(isolate->number), NULL);
    APR_RING_REMOVE(isolate, link);
    apr_pool_destroy(isolate->pool);
}

/* Refuses the lease that the isolate was started for. */
static void refuse_first(sf_pool *pool, const sf_group *group, const char *detail)
{
    if (!APR_RING_EMPTY(&group->waiting, sf_lease, link)) {
        sf_lease *lease = APR_RING_FIRST(&group->waiting);

        pool->hooks.refuse(pool->hooks.data, lease, "start", detail);
        pool->counts.refused++;
        unlink_lease(pool, lease);
    }
}

void sf_pool_start(sf_pool *pool, sf_group *group, apr_time_t now)
{
    sf_isolate *isolate = make_isolate(pool, group, now);
    const char *message = pool->hooks.start(pool->hooks.data, isolate);

    pool->counts.starts++;
    group->wants_spare = 0;
    if (message) {
        refuse_first(pool, group, message);
        unlink_isolate(pool, isolate, now);
        release_group(pool, group);
    }
}

void sf_pool_stall(sf_pool *pool, sf_isolate *isolate)
{
    if (isolate->state == SF_ISOLATE_STARTING && !isolate->is_stalled) {
        isolate->is_stalled = 1;
        pool->starting--;
        pool->is_changed = 1;
    }
}

void sf_pool_resume(sf_pool *pool, sf_isolate *isolate)
{
    if (isolate->is_stalled) {
        isolate->is_stalled = 0;
        pool->starting++;
    }
}

void sf_pool_ready(sf_pool *pool, sf_isolate *isolate, apr_time_t now)
{
    set_state(pool, isolate, SF_ISOLATE_IDLE, now);
}

void sf_pool_grant(sf_pool *pool, sf_isolate *isolate, sf_lease *lease, apr_time_t now)
{
    isolate->holder = lease->key.holder;
    isolate->recalled = 0;
    set_state(pool, isolate, SF_ISOLATE_LEASED, now);
    pool->hooks.grant(pool->hooks.data, lease, isolate);
    pool->counts.cold += isolate->is_cold;
    isolate->is_cold = 0;
    pool->counts.leases++;
    unlink_lease(pool, lease);
}

void sf_pool_return(sf_pool *pool, sf_isolate *isolate, apr_int64_t calls, apr_int64_t rss,
                    apr_time_t now)
{
    isolate->holder = NULL;
    isolate->recalled = 0;
    if (calls > isolate->calls) {
        pool->counts.calls += calls - isolate->calls;
        isolate->calls = calls;
    }
    isolate->rss = rss;
    set_state(pool, isolate, SF_ISOLATE_IDLE, now);
    if (isolate->calls >= SF_ISOLATE_CALLS(isolate->demand.calls, isolate->number)) {
        sf_pool_end(pool, isolate, "calls", now);
    }
    else if (rss > isolate->demand.memory / 4 * 3) {
        sf_pool_end(pool, isolate, "memory", now);
    }
}

void sf_pool_end(sf_pool *pool, sf_isolate *isolate, const char *cause, apr_time_t now)
{
    if (isolate->state == SF_ISOLATE_ENDING) {
        return;
    }
    isolate->cause = cause;
    isolate->holder = NULL;
    isolate->is_failed = isolate->state == SF_ISOLATE_STARTING;
    isolate->group->failing += isolate->is_failed;
    set_state(pool, isolate, SF_ISOLATE_ENDING, now);
    count_live(pool, isolate->group, -1);
    pool->hooks.kill(pool->hooks.data, isolate);
}

void sf_pool_want_spare(sf_pool *pool, const sf_isolate *isolate)
{
    isolate->group->wants_spare = 1;
    pool->is_changed = 1;
}

void sf_pool_kill(sf_pool *pool, sf_isolate *isolate, const char *cause, apr_time_t now)
{
    pool->counts.killed++;
    sf_pool_want_spare(pool, isolate);
    sf_pool_end(pool, isolate, cause, now);
}

void sf_pool_remove(sf_pool *pool, sf_isolate *isolate, const char *detail, apr_time_t now)
{
    sf_group *group = isolate->group;

    if (isolate->state == SF_ISOLATE_STARTING || isolate->is_failed) {
        refuse_first(pool, group, detail);
    }
    if (isolate->state == SF_ISOLATE_LEASED) {
        pool->counts.died++;
    }
    unlink_isolate(pool, isolate, now);
    release_group(pool, group);
}

void sf_pool_remove_holder(sf_pool *pool, const void *holder, apr_time_t now)
{
    apr_hash_index_t *i;

    for (i = apr_hash_first(NULL, pool->leases); i; i = apr_hash_next(i)) {
        sf_lease *lease = apr_hash_this_val(i);

        if (lease->key.holder == holder) {
            sf_pool_remove_lease(pool, lease);
        }
    }
    for (i = apr_hash_first(NULL, pool->isolates); i; i = apr_hash_next(i)) {
        sf_isolate *isolate = apr_hash_this_val(i);

        if (isolate->holder == holder) {
            pool->counts.killed++;
            sf_pool_end(pool, isolate, "its child has gone", now);
        }
    }
}

int sf_pool_held(const sf_pool *pool, const void *holder)
{
    apr_hash_index_t *i;
    int held = 0;

    for (i = apr_hash_first(NULL, pool->isolates); i; i = apr_hash_next(i)) {
        held += ((const sf_isolate *)apr_hash_this_val(i))->holder == holder;
    }
    return held;
}
