/* runtime/runner/pool.c and decisions.c: which lease gets which isolate, and when isolates start and end. */
#include "t/unit/unit.h"

#include "runtime/runner/decisions.h"

#include <stdlib.h>
#include <string.h>

#define MS 1000LL
#define SECOND (1000 * MS)
#define BUILDS 16

/* Children and Environments are letters, Builds are digits. The actions of the pool are written as text. */
static struct {
    sf_pool *pool;
    apr_time_t now;
    sf_demand demand; /* of the next lease */
    sf_build builds[BUILDS];
    char children[26];
    const char *actions;
    const char *start_failure;
} world;

static void note(const char *text)
{
    world.actions = apr_pstrcat(unit_pool, world.actions, *world.actions ? ", " : "", text, NULL);
}

static char letter_of(const void *holder)
{
    return (char)('A' + ((const char *)holder - world.children));
}

static const char *start(void *data, sf_isolate *isolate)
{
    (void)data;
    note(apr_psprintf(unit_pool, "start %u for %c", isolate->number,
                      isolate->group->environment->sid[SF_SID_PREFIX]));
    return world.start_failure;
}

static void end(void *data, sf_isolate *isolate)
{
    (void)data;
    note(apr_psprintf(unit_pool, "end %u (%s)", isolate->number, isolate->cause));
}

static void grant(void *data, const sf_lease *lease, const sf_isolate *isolate)
{
    (void)data;
    note(apr_psprintf(unit_pool, "%c%d gets %u", letter_of(lease->key.holder),
                      (int)lease->key.number, isolate->number));
}

static void refuse(void *data, const sf_lease *lease, const char *reason, const char *detail)
{
    (void)data;
    note(apr_psprintf(unit_pool, "%c%d is refused: %s, %s", letter_of(lease->key.holder),
                      (int)lease->key.number, reason, detail));
}

static void deliver(void *data, const sf_lease *lease, int is_there)
{
    (void)data;
    note(apr_psprintf(unit_pool, "%c%d %s", letter_of(lease->key.holder), (int)lease->key.number,
                      is_there ? "has its Build" : "is held"));
}

static void recall(void *data, void *holder, const char *environment, const char *build, int count)
{
    (void)data;
    note(apr_psprintf(unit_pool, "recall %d of %c%s from %c", count, environment[SF_SID_PREFIX],
                      build ? apr_psprintf(unit_pool, "/%c", build[SF_SID_PREFIX]) : "",
                      letter_of(holder)));
}

static void write_sid(char *to, const char *prefix, char digit)
{
    memcpy(to, prefix, SF_SID_PREFIX);
    memset(to + SF_SID_PREFIX, digit, SF_SID_DIGITS);
    to[SF_SID_LENGTH] = '\0';
}

static int begin(void **state)
{
    const sf_pool_hooks hooks = { .start = start,
                                  .kill = end,
                                  .grant = grant,
                                  .refuse = refuse,
                                  .deliver = deliver,
                                  .recall = recall };
    const sf_demand demand = { .concurrency = 8,
                               .isolates = 16,
                               .memory = 100,
                               .idle = 60,
                               .calls = 5,
                               .timeout = 10,
                               .wait = 10000 };
    int i;

    (void)state;
    memset(&world, 0, sizeof(world));
    world.pool = sf_pool_make(unit_pool, 2, &hooks);
    world.now = 1000 * SECOND;
    world.demand = demand;
    world.actions = "";
    write_sid(world.demand.account, "AC", '1');
    for (i = 0; i < BUILDS; i++) {
        write_sid(world.builds[i].sid, "ZB", (char)('0' + i));
        world.builds[i].is_stored = 1;
    }
    return 0;
}


/* Events -------------------------------------------------------------------------------------- */

static void *child(char letter)
{
    return &world.children[letter - 'A'];
}

/* The actions since the last call, and those that are due now. */
static const char *due(void)
{
    const char *actions;

    (void)sf_decide(world.pool, world.now);
    actions = world.actions;
    world.actions = "";
    return actions;
}

static const char *after(apr_time_t time)
{
    world.now += time;
    return due();
}

/* "A1" asks for an isolate of the Environment and the Build: ask('A', 1, 'a', 0). */
static void ask(char letter, int number, char environment, int build)
{
    const sf_lease_key key = { child(letter), (apr_uint64_t)number };

    write_sid(world.demand.environment, "ZE", environment);
    sf_pool_add_lease(world.pool, key, &world.demand, &world.builds[build], world.now);
}

static sf_isolate *isolate(apr_uint32_t number)
{
    return sf_pool_find_isolate(world.pool, number);
}

static void ready(apr_uint32_t number)
{
    sf_pool_ready(world.pool, isolate(number), world.now);
}

static void give_back(apr_uint32_t number)
{
    sf_pool_return(world.pool, isolate(number), 1, 10, world.now);
}

static void gone(apr_uint32_t number)
{
    sf_pool_remove(world.pool, isolate(number), "exit 1", world.now);
}

/* Leases `count` isolates of the Environment to a child, whose leases have the numbers from 101 on. */
static void lease_many(char letter, int count, char environment, int build)
{
    int i;

    for (i = 0; i < count; i++) {
        const apr_uint32_t number = world.pool->last_number + 1;

        ask(letter, 101 + i, environment, build);
        world.now += SF_DECIDE_PATIENCE;
        (void)due();
        ready(number);
        (void)due();
        assert_ptr_equal(isolate(number)->holder, child(letter));
    }
}

#define IS(actions, expected) unit_text("the pool", actions, expected)


/* Starts -------------------------------------------------------------------------------------- */

static void starts_the_first_isolate_at_once(void **state)
{
    (void)state;
    ask('A', 1, 'a', 0);
    IS(due(), "start 1 for a");
    IS(after(5 * SECOND), "");
    ready(1);
    IS(due(), "A1 gets 1");
    assert_true(isolate(1)->state == SF_ISOLATE_LEASED);
}

static void starts_another_one_for_a_lease_that_has_waited(void **state)
{
    (void)state;
    ask('A', 1, 'a', 0);
    IS(due(), "start 1 for a");
    world.now += 10 * MS;
    ask('A', 2, 'a', 0);
    IS(due(), "");
    IS(after(19 * MS), "");
    IS(after(1 * MS), "start 2 for a");
    IS(after(1 * SECOND), "");
}

static void starts_no_second_isolate_for_a_lease_that_the_first_one_serves(void **state)
{
    (void)state;
    ask('A', 1, 'a', 0);
    (void)due();
    ready(1);
    IS(due(), "A1 gets 1");
    ask('A', 2, 'a', 0);
    IS(after(19 * MS), "");
    give_back(1);
    IS(due(), "A2 gets 1");
    IS(after(SECOND), "");
}

static void does_not_count_a_stalled_start_among_the_cores(void **state)
{
    (void)state;
    ask('A', 1, 'a', 0);
    ask('A', 2, 'b', 0);
    ask('A', 3, 'c', 0);
    IS(due(), "start 1 for a, start 2 for b");
    sf_pool_stall(world.pool, isolate(1));
    sf_pool_stall(world.pool, isolate(1));
    IS(due(), "start 3 for c");
    sf_pool_resume(world.pool, isolate(1));
    sf_pool_resume(world.pool, isolate(1));
    ask('A', 4, 'd', 0);
    ready(2);
    IS(due(), "A2 gets 2");
    ready(1);
    IS(due(), "A1 gets 1, start 4 for d");
    sf_pool_stall(world.pool, isolate(4));
    gone(4);
    IS(due(), "A4 is refused: start, exit 1");
    ready(3);
    sf_pool_stall(world.pool, isolate(3));
    IS(due(), "A3 gets 3");
    assert_int_equal(world.pool->starting, 0);
}

static void starts_as_many_at_a_time_as_there_are_cores(void **state)
{
    (void)state;
    ask('A', 1, 'a', 0);
    ask('A', 2, 'b', 0);
    ask('A', 3, 'c', 0);
    IS(due(), "start 1 for a, start 2 for b");
    IS(after(SECOND), "");
    ready(2);
    IS(due(), "A2 gets 2, start 3 for c");
}

static void waits_for_the_build(void **state)
{
    (void)state;
    world.builds[3].is_stored = 0;
    ask('A', 1, 'a', 3);
    IS(after(SECOND), "A1 is held");
    assert_ptr_equal(sf_pool_first_lease(world.pool, &world.builds[3])->key.holder, child('A'));
    assert_null(sf_pool_first_lease(world.pool, &world.builds[2]));
    sf_pool_set_stored(world.pool, &world.builds[3], world.now);
    IS(due(), "A1 has its Build, start 1 for a");
}

static void counts_the_wait_from_the_delivery(void **state)
{
    (void)state;
    world.builds[3].is_stored = 0;
    world.demand.concurrency = 2;
    world.demand.wait = 2000;
    ask('A', 1, 'a', 3);
    ask('A', 2, 'b', 3);
    ask('A', 3, 'a', 3);
    ask('A', 4, 'a', 3); /* is more than the Environment may have isolates */
    IS(after(30 * SECOND), "A1 is held, A2 is held, A3 is held");
    sf_pool_set_stored(world.pool, &world.builds[3], world.now);
    IS(due(), "A1 has its Build, A3 has its Build, A2 has its Build, start 1 for a, start 2 for b");
    IS(after(2 * SECOND), "");
    assert_int_equal(apr_hash_count(world.pool->leases), 4);
    (void)after(1 * SECOND);
    assert_int_equal(apr_hash_count(world.pool->leases), 0);
}

static void drops_a_lease_whose_build_does_not_come(void **state)
{
    (void)state;
    world.builds[3].is_stored = 0;
    world.demand.wait = 2000;
    ask('A', 1, 'a', 3);
    IS(after(60 * SECOND), "A1 is held");
    assert_int_equal(apr_hash_count(world.pool->leases), 1);
    IS(after(1 * SECOND), "");
    assert_int_equal(apr_hash_count(world.pool->leases), 0);
}

static void refuses_the_first_lease_where_an_isolate_does_not_start(void **state)
{
    (void)state;
    ask('A', 1, 'a', 0);
    ask('B', 2, 'a', 0);
    IS(due(), "start 1 for a");
    gone(1);
    IS(due(), "A1 is refused: start, exit 1, start 2 for a");
    world.start_failure = "no process";
    ask('A', 3, 'b', 0);
    IS(due(), "start 3 for b, A3 is refused: start, no process");
    assert_null(isolate(3));
}

static void starts_no_other_isolate_for_a_lease_that_will_be_refused(void **state)
{
    (void)state;
    ask('A', 1, 'a', 0);
    IS(due(), "start 1 for a");
    sf_pool_end(world.pool, isolate(1), "the line is closed", world.now);
    IS(after(SECOND), "end 1 (the line is closed)");
    ask('A', 2, 'a', 0);
    IS(due(), "start 2 for a");
    gone(1);
    IS(after(SECOND), "A1 is refused: start, exit 1");
    ready(2);
    IS(due(), "A2 gets 2");
}


/* Leases -------------------------------------------------------------------------------------- */

static void serves_leases_in_the_order_in_which_they_came(void **state)
{
    (void)state;
    world.demand.concurrency = 1;
    lease_many('A', 1, 'a', 0);
    ask('B', 1, 'a', 0);
    ask('A', 2, 'a', 0);
    ask('B', 3, 'a', 0);
    (void)due();
    give_back(1);
    IS(due(), "B1 gets 1, recall 2 of a/0 from B");
    give_back(1);
    IS(due(), "A2 gets 1, recall 1 of a/0 from A");
    give_back(1);
    IS(due(), "B3 gets 1");
}

static void gives_the_isolate_that_was_used_last(void **state)
{
    (void)state;
    lease_many('A', 2, 'a', 0);
    give_back(2);
    world.now += MS;
    give_back(1);
    (void)due();
    ask('A', 1, 'a', 0);
    IS(due(), "A1 gets 1");
}

static void drops_leases_that_were_not_cancelled(void **state)
{
    (void)state;
    world.demand.concurrency = 1;
    world.demand.wait = 2000;
    lease_many('A', 1, 'a', 0);
    ask('A', 1, 'a', 0);
    IS(after(2 * SECOND), "");
    assert_int_equal(apr_hash_count(world.pool->leases), 1);
    IS(after(1 * SECOND), "");
    assert_int_equal(apr_hash_count(world.pool->leases), 0);
    assert_int_equal(world.pool->counts.expired, 1);
}

static void forgets_a_child_that_has_gone(void **state)
{
    (void)state;
    lease_many('A', 1, 'a', 0);
    lease_many('B', 1, 'b', 0);
    ask('A', 2, 'a', 0);
    sf_pool_remove_holder(world.pool, child('A'), world.now);
    IS(after(SECOND), "end 1 (its child has gone)");
    assert_int_equal(apr_hash_count(world.pool->leases), 0);
    assert_int_equal(isolate(2)->state, SF_ISOLATE_LEASED);
    gone(1);
    assert_int_equal(apr_hash_count(world.pool->environments), 1);
}


/* Limits -------------------------------------------------------------------------------------- */

static void holds_the_limit_of_the_environment(void **state)
{
    (void)state;
    world.demand.concurrency = 2;
    lease_many('A', 2, 'a', 0);
    ask('A', 1, 'a', 0);
    IS(after(SECOND), "");
    ask('A', 2, 'b', 0);
    IS(due(), "start 3 for b");
}

static void holds_the_share_of_an_account(void **state)
{
    (void)state;
    world.demand.isolates = 4; /* of which an account has three */
    lease_many('A', 2, 'a', 0);
    lease_many('A', 1, 'b', 0);
    ask('A', 1, 'c', 0);
    IS(due(), "recall 1 of a from A");
    write_sid(world.demand.account, "AC", '2');
    ask('A', 2, 'd', 0);
    IS(due(), "start 4 for d");
}

static void ends_an_idle_isolate_at_the_limit_of_the_machine(void **state)
{
    (void)state;
    world.demand.isolates = 2;
    lease_many('A', 1, 'a', 0);
    write_sid(world.demand.account, "AC", '2');
    lease_many('A', 1, 'b', 0);
    give_back(2);
    world.now += MS;
    give_back(1);
    (void)due();
    ask('A', 1, 'c', 0);
    IS(due(), "end 2 (room for another Environment), start 3 for c");
}

static void recalls_a_line_at_the_limit_of_the_machine(void **state)
{
    (void)state;
    world.demand.isolates = 4;
    lease_many('A', 2, 'a', 0);
    write_sid(world.demand.account, "AC", '2');
    lease_many('B', 2, 'b', 0);
    ask('A', 1, 'c', 0);
    IS(due(), "recall 1 of a from A");
    give_back(1);
    IS(due(), "end 1 (room for another Environment), start 5 for c");
}

/* A busy Environment takes back what was recalled for another one, unless the other lease came first. */
static void moves_a_place_to_the_environment_that_waits_longer(void **state)
{
    (void)state;
    world.demand.isolates = 4;
    lease_many('A', 3, 'a', 0);
    write_sid(world.demand.account, "AC", '2');
    lease_many('B', 1, 'b', 0);
    ask('B', 1, 'c', 0);
    IS(due(), "recall 1 of a from A");
    world.now += MS;
    write_sid(world.demand.account, "AC", '1');
    ask('A', 2, 'a', 0);
    (void)due();
    give_back(1);
    IS(due(), "end 1 (room for another Environment), start 5 for c");
    ready(5);
    IS(due(), "B1 gets 5");
    give_back(2);
    IS(due(), "A2 gets 2");
}

static void starts_for_the_environment_with_the_fewest_isolates_first(void **state)
{
    (void)state;
    world.pool->cores = 1;
    lease_many('A', 2, 'a', 0);
    ask('A', 1, 'a', 0);
    world.now += SF_DECIDE_PATIENCE;
    ask('A', 2, 'b', 0);
    ask('A', 3, 'a', 0);
    IS(due(), "start 3 for b");
    ready(3);
    IS(due(), "A2 gets 3, start 4 for a");
}


/* Recall -------------------------------------------------------------------------------------- */

static void recalls_lines_of_other_children(void **state)
{
    (void)state;
    lease_many('A', 2, 'a', 0);
    lease_many('B', 1, 'a', 0);
    world.now += SECOND;
    ask('B', 1, 'a', 0);
    ask('B', 2, 'a', 0);
    IS(due(), "recall 2 of a/0 from A");
    IS(after(10 * MS), "");
    give_back(1);
    IS(due(), "B1 gets 1");
    world.demand.concurrency = 3;
    ask('B', 3, 'a', 0);
    (void)due();
    IS(after(SECOND), "recall 2 of a/0 from A");
}

static void recalls_a_new_line_at_once(void **state)
{
    (void)state;
    world.demand.concurrency = 1;
    lease_many('A', 1, 'a', 0);
    ask('B', 1, 'a', 0);
    IS(due(), "recall 1 of a/0 from A");
    give_back(1);
    IS(due(), "B1 gets 1");
    ask('A', 2, 'a', 0);
    IS(due(), "recall 1 of a/0 from B");
}

static void recalls_nothing_from_the_child_that_asks(void **state)
{
    (void)state;
    world.demand.concurrency = 2;
    lease_many('A', 2, 'a', 0);
    ask('A', 1, 'a', 0);
    IS(after(SECOND), "");
}


/* Ends ---------------------------------------------------------------------------------------- */

static void ends_isolates_that_are_idle(void **state)
{
    (void)state;
    lease_many('A', 2, 'a', 0);
    give_back(1);
    give_back(2);
    IS(after(59 * SECOND), "");
    IS(after(1 * SECOND), "end 1 (idle)");
    gone(1);
    IS(after(239 * SECOND), "");
    IS(after(1 * SECOND), "end 2 (idle)");
    gone(2);
    assert_int_equal(apr_hash_count(world.pool->environments), 0);
    assert_int_equal(apr_hash_count(world.pool->accounts), 0);
    assert_int_equal(world.builds[0].groups, 0);
}

static void ends_idle_isolates_of_an_older_build(void **state)
{
    (void)state;
    lease_many('A', 2, 'a', 0);
    give_back(1);
    ask('A', 1, 'a', 1);
    IS(due(), "start 3 for a");
    ready(3);
    IS(after(SECOND), "A1 gets 3, end 1 (superseded)");
    give_back(2);
    IS(after(SECOND), "end 2 (superseded)");
}

static void makes_room_from_an_older_build_first(void **state)
{
    (void)state;
    world.demand.concurrency = 1;
    lease_many('A', 1, 'a', 0);
    ask('A', 1, 'a', 1);
    IS(due(), "recall 1 of a from A");
    give_back(1);
    IS(due(), "end 1 (room for another Environment), start 2 for a");
}

static void ends_a_worn_isolate_at_its_return(void **state)
{
    (void)state;
    lease_many('A', 3, 'a', 0);
    sf_pool_return(world.pool, isolate(1), 5, 10, world.now);
    IS(due(), "end 1 (calls)");
    sf_pool_return(world.pool, isolate(2), 4, 76, world.now);
    IS(due(), "end 2 (memory)");
    sf_pool_return(world.pool, isolate(3), 4, 75, world.now);
    IS(due(), "");
}


/* Isolates that share calls evenly end one after the other, all of them within the last eighth. */
static void ends_isolates_after_different_numbers_of_calls(void **state)
{
    int calls;
    int ended = 0;

    (void)state;
    world.demand.calls = 1000;
    lease_many('A', 4, 'a', 0);
    for (calls = 875; calls <= 1000 && ended < 4; calls++) {
        const int before = ended;
        apr_uint32_t number;

        for (number = 1; number <= 4; number++) {
            if (isolate(number)->state == SF_ISOLATE_LEASED) {
                sf_pool_return(world.pool, isolate(number), calls - 1, 10, world.now);
                assert_int_equal(isolate(number)->state, SF_ISOLATE_IDLE);
                ask('A', (int)number, 'a', 0);
                (void)due();
                sf_pool_return(world.pool, isolate(number), calls, 10, world.now);
                ended += isolate(number)->state == SF_ISOLATE_ENDING;
                ask('A', (int)number, 'a', 0);
                (void)due();
            }
        }
        assert_true(ended - before <= 1);
    }
    assert_int_equal(ended, 4);
}


/* Spare isolates -------------------------------------------------------------------------------- */

static void kill_in_call(apr_uint32_t number)
{
    sf_pool_kill(world.pool, isolate(number), "timeout", world.now);
}

static void has_long_call(apr_uint32_t number)
{
    sf_pool_want_spare(world.pool, isolate(number));
}

static void replaces_an_isolate_that_was_killed_in_a_call(void **state)
{
    (void)state;
    lease_many('A', 2, 'a', 0);
    kill_in_call(1);
    IS(due(), "end 1 (timeout), start 3 for a");
    gone(1);
    ready(3);
    IS(after(SECOND), "");
    ask('A', 1, 'a', 0);
    IS(due(), "A1 gets 3");
}

static void starts_a_spare_isolate_beside_a_long_call(void **state)
{
    (void)state;
    lease_many('A', 2, 'a', 0);
    has_long_call(1);
    IS(due(), "start 3 for a");
    ready(3);
    IS(after(SECOND), "");
    kill_in_call(1);
    IS(after(SECOND), "end 1 (timeout)");
}

static void starts_one_spare_isolate_for_several_long_calls(void **state)
{
    (void)state;
    lease_many('A', 3, 'a', 0);
    has_long_call(1);
    IS(due(), "start 4 for a");
    has_long_call(2);
    kill_in_call(3);
    IS(after(10 * MS), "end 3 (timeout)");
}

static void starts_no_spare_isolate_where_one_is_idle(void **state)
{
    (void)state;
    lease_many('A', 2, 'a', 0);
    give_back(2);
    kill_in_call(1);
    IS(after(SECOND), "end 1 (timeout)");
}

static void starts_no_spare_isolate_of_an_older_build(void **state)
{
    (void)state;
    lease_many('A', 1, 'a', 0);
    lease_many('A', 1, 'a', 1);
    kill_in_call(1);
    IS(after(SECOND), "end 1 (timeout)");
}

static void starts_one_isolate_for_a_lease_in_place_of_a_spare_one(void **state)
{
    (void)state;
    lease_many('A', 1, 'a', 0);
    ask('A', 1, 'a', 0);
    kill_in_call(1);
    IS(due(), "end 1 (timeout), start 2 for a");
    IS(after(SECOND), "");
}

static void starts_isolates_for_leases_before_spare_ones(void **state)
{
    (void)state;
    world.pool->cores = 1;
    lease_many('A', 1, 'a', 0);
    lease_many('B', 2, 'b', 0);
    ask('B', 1, 'b', 0);
    has_long_call(1);
    world.now += SF_DECIDE_PATIENCE;
    IS(due(), "start 4 for b");
    ready(4);
    IS(due(), "B1 gets 4, start 5 for a");
}

static void ends_no_isolate_of_others_for_a_spare_one(void **state)
{
    (void)state;
    world.demand.isolates = 3;
    lease_many('A', 1, 'a', 0);
    write_sid(world.demand.account, "AC", '2');
    lease_many('B', 2, 'b', 0);
    give_back(3);
    has_long_call(1);
    IS(after(SECOND), "");
}


/* Any order ----------------------------------------------------------------------------------- */

/* Does one event at random, as children and isolates would. */
static void random_event(unsigned int *seed)
{
    const apr_uint32_t number
        = world.pool->last_number ? (apr_uint32_t)rand_r(seed) % world.pool->last_number + 1 : 0;
    sf_isolate *any = isolate(number);
    static int last_lease = 1000;

    switch (rand_r(seed) % 8) {
    case 0:
    case 1:
        write_sid(world.demand.account, "AC", (char)('1' + rand_r(seed) % 2));
        ask((char)('A' + rand_r(seed) % 3), ++last_lease,
            (char)(world.demand.account[2] == '1' ? 'a' + rand_r(seed) % 3 : 'd'),
            rand_r(seed) % 2);
        break;
    case 2:
        world.now += rand_r(seed) % (30 * MS);
        break;
    case 3:
        world.now += rand_r(seed) % 100 == 0 ? 100 * SECOND : 0;
        break;
    case 4:
        if (rand_r(seed) % 50 == 0) {
            sf_pool_remove_holder(world.pool, child((char)('A' + rand_r(seed) % 3)), world.now);
        }
        break;
    default:
        if (any && any->state == SF_ISOLATE_STARTING) {
            if (rand_r(seed) % 10 == 0) {
                sf_pool_stall(world.pool, any);
            }
            else {
                rand_r(seed) % 10 ? ready(number) : gone(number);
            }
        }
        else if (any && any->state == SF_ISOLATE_LEASED) {
            switch (rand_r(seed) % 10) {
            case 0:
                gone(number);
                break;
            case 1:
                sf_pool_kill(world.pool, any, "timeout", world.now);
                break;
            default:
                give_back(number);
            }
        }
        else if (any && any->state == SF_ISOLATE_ENDING) {
            gone(number);
        }
    }
}

/* Counts again what the pool counts, and compares. */
static void check_counts(void)
{
    apr_hash_index_t *i;
    int live = 0;
    int starting = 0;

    for (i = apr_hash_first(unit_pool, world.pool->isolates); i; i = apr_hash_next(i)) {
        const sf_isolate *any = apr_hash_this_val(i);

        live += any->state != SF_ISOLATE_ENDING;
        starting += any->state == SF_ISOLATE_STARTING && !any->is_stalled;
        assert_true((any->holder != NULL) == (any->state == SF_ISOLATE_LEASED));
    }
    assert_int_equal(live, world.pool->live);
    assert_int_equal(starting, world.pool->starting);
    assert_true(live <= world.demand.isolates && starting <= world.pool->cores);
    for (i = apr_hash_first(unit_pool, world.pool->environments); i; i = apr_hash_next(i)) {
        const sf_environment *environment = apr_hash_this_val(i);

        assert_true(environment->live <= world.demand.concurrency);
        assert_true(environment->account->live <= world.demand.isolates * 3 / 4);
    }
}

static void holds_its_limits_in_any_order_of_events(void **state)
{
    unsigned int seed;

    for (seed = 1; seed <= 50; seed++) {
        unsigned int random = seed;
        int events;

        begin(state);
        world.demand.isolates = 8;
        world.demand.concurrency = 4;
        for (events = 0; events < 2000; events++) {
            random_event(&random);
            (void)due();
            check_counts();
        }
    }
}

/* After all leases are answered and all isolates have ended, nothing is left. */
static void forgets_all(void **state)
{
    unsigned int seed = 7;
    int events;
    apr_hash_index_t *i;

    (void)state;
    for (events = 0; events < 5000; events++) {
        random_event(&seed);
        (void)due();
    }
    sf_pool_refuse_all(world.pool, NULL, "stopping", "");
    for (i = apr_hash_first(unit_pool, world.pool->isolates); i; i = apr_hash_next(i)) {
        sf_pool_remove(world.pool, apr_hash_this_val(i), "", world.now);
    }
    assert_int_equal(apr_hash_count(world.pool->isolates), 0);
    assert_int_equal(apr_hash_count(world.pool->leases), 0);
    assert_int_equal(apr_hash_count(world.pool->environments), 0);
    assert_int_equal(apr_hash_count(world.pool->accounts), 0);
    assert_int_equal(world.pool->live, 0);
    assert_int_equal(world.builds[0].groups + world.builds[1].groups, 0);
    assert_int_equal(world.builds[0].isolates + world.builds[1].isolates, 0);
}

#define TEST(function) cmocka_unit_test_setup(function, begin)

int unit_isolate_pool(void)
{
    const struct CMUnitTest isolate_pool[] = {
        TEST(starts_the_first_isolate_at_once),
        TEST(starts_another_one_for_a_lease_that_has_waited),
        TEST(starts_no_second_isolate_for_a_lease_that_the_first_one_serves),
        TEST(does_not_count_a_stalled_start_among_the_cores),
        TEST(starts_as_many_at_a_time_as_there_are_cores),
        TEST(waits_for_the_build),
        TEST(counts_the_wait_from_the_delivery),
        TEST(drops_a_lease_whose_build_does_not_come),
        TEST(refuses_the_first_lease_where_an_isolate_does_not_start),
        TEST(starts_no_other_isolate_for_a_lease_that_will_be_refused),
        TEST(serves_leases_in_the_order_in_which_they_came),
        TEST(gives_the_isolate_that_was_used_last),
        TEST(drops_leases_that_were_not_cancelled),
        TEST(forgets_a_child_that_has_gone),
        TEST(holds_the_limit_of_the_environment),
        TEST(holds_the_share_of_an_account),
        TEST(ends_an_idle_isolate_at_the_limit_of_the_machine),
        TEST(recalls_a_line_at_the_limit_of_the_machine),
        TEST(moves_a_place_to_the_environment_that_waits_longer),
        TEST(starts_for_the_environment_with_the_fewest_isolates_first),
        TEST(recalls_lines_of_other_children),
        TEST(recalls_a_new_line_at_once),
        TEST(recalls_nothing_from_the_child_that_asks),
        TEST(ends_isolates_that_are_idle),
        TEST(ends_idle_isolates_of_an_older_build),
        TEST(makes_room_from_an_older_build_first),
        TEST(ends_a_worn_isolate_at_its_return),
        TEST(ends_isolates_after_different_numbers_of_calls),
        TEST(replaces_an_isolate_that_was_killed_in_a_call),
        TEST(starts_a_spare_isolate_beside_a_long_call),
        TEST(starts_one_spare_isolate_for_several_long_calls),
        TEST(starts_no_spare_isolate_where_one_is_idle),
        TEST(starts_no_spare_isolate_of_an_older_build),
        TEST(starts_one_isolate_for_a_lease_in_place_of_a_spare_one),
        TEST(starts_isolates_for_leases_before_spare_ones),
        TEST(ends_no_isolate_of_others_for_a_spare_one),
        TEST(holds_its_limits_in_any_order_of_events),
        TEST(forgets_all),
    };

    return cmocka_run_group_tests(isolate_pool, NULL, NULL);
}
