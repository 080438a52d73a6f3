#include "runtime/domains/lease_table.h"

#include "core/guarded_pool.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <string.h>
#include <unistd.h>

/* Memory of one size that was used and may be used again. */
typedef struct free_block {
    struct free_block *next;
} free_block;

static struct {
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *end;    /* signalled where the end of an isolate with a call was recorded */
    apr_thread_cond_t *woken;  /* to signal once the mutex is free, or NULL */
    apr_pool_t *wakes_pool;    /* is never destroyed: threads may still wait as the child ends */
    apr_array_header_t *wakes; /* apr_thread_cond_t *, those that no waiter has */
    apr_pool_t *pool;
    int processors;
    apr_hash_t *groups;         /* by key */
    apr_array_header_t *leases; /* sf_lease *, all of them */
    struct sf_link_ring links;
    free_block *free_groups;
    free_block *free_leases;
    free_block *free_links;
} table;

apr_status_t sf_lease_table_init(apr_pool_t *pool)
{
    apr_status_t rv;

    memset(&table, 0, sizeof(table));
    rv = sf_guarded_pool_make(pool, &table.mutex, &table.pool);
    if (rv == APR_SUCCESS) {
        rv = apr_thread_cond_create(&table.end, pool);
    }
    if (rv == APR_SUCCESS) {
        table.processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
        table.groups = apr_hash_make(table.pool);
        table.leases = apr_array_make(table.pool, 64, sizeof(sf_lease *));
        APR_RING_INIT(&table.links, sf_runner_link, entry);
        rv = apr_pool_create_unmanaged_ex(&table.wakes_pool, NULL, NULL);
    }
    if (rv == APR_SUCCESS) {
        table.wakes = apr_array_make(table.wakes_pool, 64, sizeof(apr_thread_cond_t *));
    }
    return rv;
}

void sf_lease_table_lock(void)
{
    apr_thread_mutex_lock(table.mutex);
}

/* Signals the condition that is to be signalled. Called with the mutex held. */
static void signal_woken(void)
{
    if (table.woken) {
        apr_thread_cond_signal(table.woken);
        table.woken = NULL;
    }
}

/* A thread that is signalled while the mutex is held would wake only to wait for the mutex. Conditions stay as
 * long as the child, so that the waiter may have left meanwhile. */
void sf_lease_table_unlock(void)
{
    apr_thread_cond_t *woken = table.woken;

    table.woken = NULL;
    apr_thread_mutex_unlock(table.mutex);
    if (woken) {
        apr_thread_cond_signal(woken);
    }
}

void sf_lease_table_wait(apr_thread_cond_t *wake, apr_interval_time_t timeout)
{
    signal_woken();
    apr_thread_cond_timedwait(wake, table.mutex, timeout);
}

apr_thread_cond_t *sf_lease_table_take_wake(void)
{
    apr_thread_cond_t **last = apr_array_pop(table.wakes);
    apr_thread_cond_t *made = NULL;

    if (last) {
        return *last;
    }
    return apr_thread_cond_create(&made, table.wakes_pool) == APR_SUCCESS ? made : NULL;
}

void sf_lease_table_free_wake(apr_thread_cond_t *wake)
{
    APR_ARRAY_PUSH(table.wakes, apr_thread_cond_t *) = wake;
}

void sf_lease_table_wait_for_end(apr_interval_time_t timeout)
{
    signal_woken();
    apr_thread_cond_timedwait(table.end, table.mutex, timeout);
}

void sf_lease_table_broadcast(void)
{
    apr_thread_cond_broadcast(table.end);
}

static void *take_block(free_block **list, apr_size_t size)
{
    free_block *block = *list;

    if (block) {
        *list = block->next;
        return block;
    }
    return apr_palloc(table.pool, size);
}

static void free_memory(free_block **list, void *memory)
{
    free_block *block = memory;

    block->next = *list;
    *list = block;
}


/* Groups ----------------------------------------------------------------------------------------- */

sf_lease_group *sf_lease_group_enter(const sf_lease_key *key)
{
    sf_lease_group *group = apr_hash_get(table.groups, key, sizeof(*key));

    if (!group) {
        group = take_block(&table.free_groups, sizeof(*group));
        memset(group, 0, sizeof(*group));
        group->key = *key;
        APR_RING_INIT(&group->busy, sf_lease, entry);
        APR_RING_INIT(&group->idle, sf_lease, entry);
        APR_RING_INIT(&group->settling, sf_lease, entry);
        APR_RING_INIT(&group->waiters, sf_waiter, entry);
        apr_hash_set(table.groups, &group->key, sizeof(group->key), group);
    }
    return group;
}

void sf_lease_group_each(sf_group_function *function, const void *data)
{
    apr_hash_index_t *at;

    for (at = apr_hash_first(NULL, table.groups); at; at = apr_hash_next(at)) {
        function(apr_hash_this_val(at), data);
    }
}

void sf_lease_group_leave(sf_lease_group *group)
{
    if (group->lines == 0 && group->users == 0 && APR_RING_EMPTY(&group->waiters, sf_waiter, entry)
        && group->give_until < sf_clock_now()) {
        apr_hash_set(table.groups, &group->key, sizeof(group->key), NULL);
        free_memory(&table.free_groups, group);
    }
}


/* Leases ----------------------------------------------------------------------------------------- */

/* Puts a lease that is in no ring into the ring of busy ones. */
static void become_busy(sf_lease *lease)
{
    lease->state = SF_LEASE_BUSY;
    lease->since = sf_clock_now();
    lease->is_told = 0;
    APR_RING_INSERT_TAIL(&lease->group->busy, lease, sf_lease, entry);
}

sf_lease *sf_lease_enter(sf_lease_group *group, sf_runner_link *runner, uint32_t isolate,
                         int descriptor)
{
    sf_lease *lease = take_block(&table.free_leases, sizeof(*lease));

    memset(lease, 0, offsetof(sf_lease, line));
    sf_line_make(&lease->line, descriptor);
    lease->group = group;
    lease->runner = runner;
    lease->isolate = isolate;
    lease->is_new = 1;
    become_busy(lease);
    lease->granted = lease->since;
    runner->lines++;
    group->lines++;
    group->spare_until = 0;
    group->refused_at = 0;
    APR_ARRAY_PUSH(table.leases, sf_lease *) = lease;
    return lease;
}

void sf_lease_take_out(sf_lease *lease)
{
    APR_RING_REMOVE(lease, entry);
    become_busy(lease);
}

void sf_lease_put(sf_lease *lease, sf_lease_state state)
{
    APR_RING_REMOVE(lease, entry);
    lease->state = state;
    lease->since = sf_clock_now();
    lease->is_new = 0;
    if (state == SF_LEASE_IDLE) {
        APR_RING_INSERT_HEAD(&lease->group->idle, lease, sf_lease, entry);
    }
    else {
        APR_RING_INSERT_HEAD(&lease->group->settling, lease, sf_lease, entry);
    }
}

/* Returns the place of a lease among all leases. */
static int index_of(const sf_lease *lease)
{
    int i = 0;

    while (sf_lease_at(i) != lease) {
        i++;
    }
    return i;
}

void sf_lease_leave(sf_lease *lease)
{
    sf_lease_group *group = lease->group;
    sf_lease **last = apr_array_pop(table.leases);

    if (*last != lease) {
        APR_ARRAY_IDX(table.leases, index_of(lease), sf_lease *) = *last;
    }
    if (lease->runner) {
        lease->runner->lines--;
    }
    APR_RING_REMOVE(lease, entry);
    sf_line_close(&lease->line);
    free_memory(&table.free_leases, lease);
    group->lines--;
    sf_lease_group_leave(group);
}

sf_lease *sf_lease_find(const sf_runner_link *runner, uint32_t isolate)
{
    int i;

    for (i = 0; i < table.leases->nelts; i++) {
        sf_lease *lease = sf_lease_at(i);

        if (lease->runner == runner && lease->isolate == isolate) {
            return lease;
        }
    }
    return NULL;
}

int sf_lease_count(void)
{
    return table.leases->nelts;
}

sf_lease *sf_lease_at(int index)
{
    return APR_ARRAY_IDX(table.leases, index, sf_lease *);
}

int sf_lease_processors(void)
{
    return table.processors;
}


/* Waiters ---------------------------------------------------------------------------------------- */

void sf_waiter_enter(sf_waiter *waiter, sf_lease_group *group)
{
    waiter->group = group;
    if (APR_RING_EMPTY(&group->waiters, sf_waiter, entry)) {
        group->waiting_since = sf_clock_now();
    }
    APR_RING_INSERT_TAIL(&group->waiters, waiter, sf_waiter, entry);
}

void sf_waiter_leave(sf_waiter *waiter)
{
    APR_RING_REMOVE(waiter, entry);
    sf_lease_group_leave(waiter->group);
}

void sf_waiter_begin(sf_waiter *waiter)
{
    waiter->is_held = 0;
    waiter->deadline = sf_clock_now() + waiter->patience;
}

void sf_waiter_hold(sf_waiter *waiter)
{
    waiter->is_held = 1;
    waiter->deadline = sf_clock_now() + apr_time_from_sec(SF_DELIVERY_SECONDS);
}

void sf_waiter_end_request(sf_waiter *waiter)
{
    waiter->runner = NULL;
    if (waiter->is_held) {
        sf_waiter_begin(waiter);
    }
}

void sf_waiter_wake(const sf_waiter *waiter)
{
    if (table.woken != waiter->wake) {
        signal_woken();
        table.woken = waiter->wake;
    }
}

/* A search for a waiter, and its result. */
typedef struct {
    const sf_runner_link *runner;
    uint32_t number;
    sf_waiter **found;
} waiter_search;

static void search_group(sf_lease_group *group, const void *data)
{
    const waiter_search *search = data;
    sf_waiter *waiter;

    APR_RING_FOREACH(waiter, &group->waiters, sf_waiter, entry)
    {
        if (waiter->runner == search->runner && waiter->number == search->number) {
            *search->found = waiter;
        }
    }
}

sf_waiter *sf_waiter_find(const sf_runner_link *runner, uint32_t number)
{
    sf_waiter *found = NULL;
    const waiter_search search = { runner, number, &found };

    sf_lease_group_each(search_group, &search);
    return found;
}

sf_waiter *sf_waiter_first(sf_lease_group *group)
{
    sf_waiter *waiter;

    APR_RING_FOREACH(waiter, &group->waiters, sf_waiter, entry)
    {
        if (waiter->state == SF_WAITER_WAITS) {
            return waiter;
        }
    }
    return NULL;
}


/* Connections ------------------------------------------------------------------------------------ */

struct sf_link_ring *sf_lease_links(void)
{
    return &table.links;
}

sf_runner_link *sf_lease_link_make(void)
{
    return take_block(&table.free_links, sizeof(sf_runner_link));
}

void sf_lease_link_free(sf_runner_link *link)
{
    free_memory(&table.free_links, link);
}

void sf_lease_link_leave(sf_runner_link *link)
{
    if (link->is_lost && link->users == 0) {
        close(link->socket);
        sf_lease_link_free(link);
    }
}
