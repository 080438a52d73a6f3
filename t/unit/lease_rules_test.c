/* runtime/domains/lease_rules.c: which call of a child gets a line, and which one asks the runner. */
#include "t/unit/unit.h"

#include "runtime/domains/lease_rules.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS 1000LL
#define SECOND (1000 * MS)
#define WAITERS 8

static const sf_lease_key key = { .environment = "e", .build = "b" };

/* A child with one connection. `runner` is the other end of the connection. */
static struct {
    sf_runner_link link;
    int runner;
    sf_lease_group *group;
    sf_waiter waiters[WAITERS];
} world;

static int begin(void **state)
{
    int ends[2];

    (void)state;
    memset(&world, 0, sizeof(world));
    if (sf_lease_table_init(unit_pool) != APR_SUCCESS
        || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) != 0) {
        return -1;
    }
    world.link.socket = ends[0];
    world.runner = ends[1];
    world.group = sf_lease_group_enter(&key);
    world.group->users = 1;
    sf_lease_table_lock();
    return 0;
}

static int end(void **state)
{
    (void)state;
    sf_lease_table_unlock();
    close(world.link.socket);
    close(world.runner);
    return 0;
}

/* Returns a new line of a call. */
static sf_lease *line(void)
{
    static uint32_t isolate;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    close(ends[1]);
    return sf_lease_enter(world.group, &world.link, ++isolate, ends[0]);
}

/* A call begins to wait, for so many microseconds. */
static sf_waiter *wait_for(int number, apr_interval_time_t patience)
{
    sf_waiter *waiter = &world.waiters[number];

    waiter->patience = patience;
    waiter->wake = sf_lease_table_take_wake();
    sf_waiter_begin(waiter);
    sf_waiter_enter(waiter, world.group);
    return waiter;
}

/* The call asks the runner, which keeps the request for as long as the call waits. */
static void ask(sf_waiter *waiter)
{
    static uint32_t number;

    waiter->runner = &world.link;
    waiter->number = ++number;
    waiter->asked_until = waiter->deadline + SECOND;
}

static void refuse(sf_waiter *waiter)
{
    waiter->runner = NULL;
    sf_lease_refuse(waiter);
}

/* Returns the types of the messages that the runner has got since the last call. */
static const char *messages(void)
{
    const char *all = "";
    unsigned char packet[1024];

    while (recv(world.runner, packet, sizeof(packet), MSG_DONTWAIT) > 0) {
        all = apr_psprintf(unit_pool, "%s%s%d", all, *all ? " " : "", packet[0]);
    }
    return all;
}

static void passes_a_request_on_to_the_next_call(void **state)
{
    sf_lease *lease = line();
    sf_waiter *first = wait_for(0, 2 * SECOND);
    sf_waiter *second = wait_for(1, 2 * SECOND);

    (void)state;
    ask(first);
    sf_lease_place(lease);
    assert_ptr_equal(first->lease, lease);
    assert_null(first->runner);
    assert_ptr_equal(second->runner, &world.link);
    assert_int_equal(second->number, first->number);
    assert_string_equal(messages(), "");
}

static void cancels_a_request_that_ends_before_the_next_call(void **state)
{
    sf_lease *lease = line();
    sf_waiter *first = wait_for(0, 100 * MS);
    sf_waiter *patient = wait_for(1, 60 * SECOND);

    (void)state;
    ask(first);
    sf_lease_place(lease);
    assert_null(patient->runner);
    assert_string_equal(messages(), "3");
}

static void passes_a_request_on_past_a_call_that_outlasts_it(void **state)
{
    sf_lease *lease = line();
    sf_waiter *first = wait_for(0, 100 * MS);
    sf_waiter *patient = wait_for(1, 60 * SECOND);
    sf_waiter *third = wait_for(2, 100 * MS);

    (void)state;
    ask(first);
    sf_lease_place(lease);
    assert_null(patient->runner);
    assert_ptr_equal(third->runner, &world.link);
    assert_string_equal(messages(), "");
}

static void a_refused_call_waits_for_the_other_lines(void **state)
{
    sf_waiter *waiter = wait_for(0, 60 * SECOND);

    (void)state;
    line();
    ask(waiter);
    refuse(waiter);
    assert_int_equal(waiter->state, SF_WAITER_WAITS);
    assert_false(sf_lease_is_to_ask(waiter));
    assert_true(waiter->ask_at > sf_clock_now());
}

static void a_refused_call_ends_where_there_is_no_line(void **state)
{
    sf_waiter *first = wait_for(0, 60 * SECOND);
    sf_waiter *second = wait_for(1, 60 * SECOND);

    (void)state;
    ask(first);
    second->ask_at = sf_clock_now() + SECOND;
    refuse(first);
    assert_int_equal(first->state, SF_WAITER_REFUSED);
    assert_true(sf_lease_is_to_ask(second));
}

static void a_refused_call_ends_where_all_lines_are_of_a_runner_that_leaves(void **state)
{
    sf_waiter *waiter = wait_for(0, 60 * SECOND);

    (void)state;
    line();
    ask(waiter);
    world.link.leaving = 1;
    refuse(waiter);
    assert_int_equal(waiter->state, SF_WAITER_REFUSED);
}

static void a_refused_call_asks_again_as_the_last_line_is_lost(void **state)
{
    sf_lease *lines[] = { line(), line() };
    sf_waiter *waiter = wait_for(0, 60 * SECOND);

    (void)state;
    ask(waiter);
    refuse(waiter);
    sf_lease_destroy(lines[0], "timeout");
    assert_false(sf_lease_is_to_ask(waiter));
    sf_lease_destroy(lines[1], "timeout");
    assert_true(sf_lease_is_to_ask(waiter));
}

static void one_call_at_a_time_asks_after_a_refusal(void **state)
{
    sf_waiter *first = wait_for(0, 60 * SECOND);
    sf_waiter *second = wait_for(1, 60 * SECOND);

    (void)state;
    line();
    ask(first);
    refuse(first);
    assert_false(sf_lease_is_to_ask(first));
    world.group->refused_at -= 2 * SECOND;
    first->ask_at = 0;
    assert_true(sf_lease_is_to_ask(first));
    ask(first);
    assert_false(sf_lease_is_to_ask(second));
    assert_true(second->ask_at > sf_clock_now());
    line();
    second->ask_at = 0;
    assert_true(sf_lease_is_to_ask(second));
}

static void a_call_waits_no_longer_for_a_build_after_a_refusal(void **state)
{
    sf_waiter *waiter = wait_for(0, 2 * SECOND);

    (void)state;
    sf_waiter_hold(waiter);
    sf_waiter_end_request(waiter);
    assert_true(waiter->deadline < sf_clock_now() + 3 * SECOND);
}

/* Any order -------------------------------------------------------------------------------------- */

static int length_of(const struct sf_lease_ring *ring)
{
    const sf_lease *lease;
    int length = 0;

    APR_RING_FOREACH(lease, ring, sf_lease, entry)
    {
        assert_ptr_equal(lease->group, world.group);
        length++;
    }
    return length;
}

/* Returns a lease of a ring, or NULL. */
static sf_lease *any_of(struct sf_lease_ring *ring, unsigned int *seed)
{
    int at = length_of(ring);
    sf_lease *lease = APR_RING_FIRST(ring);

    if (at == 0) {
        return NULL;
    }
    for (at = rand_r(seed) % at; at > 0; at--) {
        lease = APR_RING_NEXT(lease, entry);
    }
    return lease;
}

/* A call that has no lease begins; one that waits goes on with its lease, asks, or gives up. */
static void random_waiter(sf_waiter *waiter, unsigned int *seed)
{
    if (!waiter->wake) {
        if (!sf_lease_pick(world.group)) {
            waiter->ask_at = sf_lease_ask_time(world.group);
            (void)wait_for((int)(waiter - world.waiters), 60 * SECOND);
        }
        return;
    }
    if (waiter->state == SF_WAITER_WAITS && sf_lease_is_to_ask(waiter)) {
        ask(waiter);
    }
    if (waiter->state != SF_WAITER_WAITS || rand_r(seed) % 8 == 0) {
        sf_waiter_leave(waiter);
        sf_lease_table_free_wake(waiter->wake);
        memset(waiter, 0, sizeof(*waiter));
    }
}

/* The runner answers a request. */
static void random_answer(sf_waiter *waiter, unsigned int *seed)
{
    if (waiter->state != SF_WAITER_WAITS || !waiter->runner) {
        return;
    }
    waiter->runner = NULL;
    if (rand_r(seed) % 3 == 0) {
        sf_lease_refuse(waiter);
    }
    else {
        sf_lease_hand(line(), waiter);
    }
}

/* A call ends, with its isolate or without. */
static void random_end(unsigned int *seed)
{
    sf_lease *lease = any_of(&world.group->busy, seed);

    if (!lease) {
        return;
    }
    switch (rand_r(seed) % 6) {
    case 0:
        sf_lease_destroy(lease, "timeout");
        return;
    case 1:
        sf_lease_put(lease, SF_LEASE_SETTLING);
        return;
    case 2:
        lease->limits.calls = 1;
        lease->line.calls = 1;
    }
    sf_lease_place(lease);
}

/* The thread looks after the group: an isolate is killed after the end of its line. */
static void random_look(unsigned int *seed)
{
    sf_lease *lease = any_of(&world.group->idle, seed);

    if (lease && rand_r(seed) % 2) {
        sf_lease_take_out(lease);
        sf_lease_return(lease);
    }
    world.group->give_until = rand_r(seed) % 4 ? 0 : sf_clock_now() + SECOND;
    sf_lease_tell_long_calls(world.group);
    sf_lease_settle_group(world.group);
}

/* Nothing is counted twice or lost, and no call waits for longer than a second until it looks again. */
static void check_all(void)
{
    sf_lease_group *group = world.group;
    int waiting = 0;
    int i;

    assert_int_equal(length_of(&group->busy) + length_of(&group->idle)
                         + length_of(&group->settling),
                     group->lines);
    assert_int_equal(group->lines, sf_lease_count());
    assert_int_equal(group->lines, world.link.lines);
    for (i = 0; i < WAITERS; i++) {
        sf_waiter *waiter = &world.waiters[i];

        if (waiter->runner) {
            assert_int_equal(waiter->state, SF_WAITER_WAITS);
            assert_ptr_equal(sf_waiter_find(waiter->runner, waiter->number), waiter);
        }
        else if (waiter->wake && waiter->state == SF_WAITER_WAITS) {
            assert_true(waiter->ask_at <= sf_clock_now() + SECOND);
            waiting++;
        }
    }
    assert_true(!waiting || APR_RING_EMPTY(&group->idle, sf_lease, entry));
    (void)messages();
}

static void keeps_its_counts_in_any_order_of_events(void **state)
{
    unsigned int seed = 1;
    int i;

    (void)state;
    for (i = 0; i < 50000; i++) {
        sf_waiter *waiter = &world.waiters[rand_r(&seed) % WAITERS];

        switch (rand_r(&seed) % 8) {
        case 0:
        case 1:
        case 2:
            random_waiter(waiter, &seed);
            break;
        case 3:
            random_answer(waiter, &seed);
            break;
        case 4:
            random_look(&seed);
            break;
        default:
            random_end(&seed);
        }
        check_all();
    }
}

int unit_lease_rules(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)
    const struct CMUnitTest lease_rules[] = {
        TEST(passes_a_request_on_to_the_next_call),
        TEST(cancels_a_request_that_ends_before_the_next_call),
        TEST(passes_a_request_on_past_a_call_that_outlasts_it),
        TEST(a_refused_call_waits_for_the_other_lines),
        TEST(a_refused_call_ends_where_there_is_no_line),
        TEST(a_refused_call_ends_where_all_lines_are_of_a_runner_that_leaves),
        TEST(a_refused_call_asks_again_as_the_last_line_is_lost),
        TEST(one_call_at_a_time_asks_after_a_refusal),
        TEST(a_call_waits_no_longer_for_a_build_after_a_refusal),
        TEST(keeps_its_counts_in_any_order_of_events),
    };
#undef TEST

    return cmocka_run_group_tests(lease_rules, NULL, NULL);
}
