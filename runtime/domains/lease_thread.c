#include "runtime/domains/lease_thread.h"

#include "core/json.h"
#include "runtime/domains/lease_rules.h"
#include "runtime/domains/runner_away.h"

#include <apr_atomic.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* An idle line goes back to the runner after this time. */
#define IDLE_TIME apr_time_from_sec(2)

/* How often the thread looks for lines that were idle for too long, in milliseconds. */
#define TICK 250

/* How long lines go back after GIVE. */
#define GIVE_TIME apr_time_from_sec(1)

/* How long a stopping child waits for the thread, which may need a while on a busy machine, and how often it looks
 * meanwhile. */
#define STOP_LIMIT apr_time_from_sec(5)
#define STOP_SLICE apr_time_from_msec(5)

static struct {
    apr_pool_t *pool;
    int event; /* of eventfd(): wakes the thread */
    int started;
    volatile apr_uint32_t stopping;
    volatile apr_uint32_t ended;
    unsigned char packet[SF_CONTROL_PACKET + 1];
} thread;

void sf_lease_thread_wake(void)
{
    const uint64_t one = 1;
    const ssize_t written = write(thread.event, &one, sizeof(one));

    (void)written; /* it fails only where the thread is to wake already */
}

int sf_lease_thread_is_stopping(void)
{
    return (int)apr_atomic_read32(&thread.stopping);
}

/* Ends the thread, and waits for that, but not for long: in a child of prefork, a signal may have interrupted a
 * function that holds the mutex. */
static apr_status_t stop(void *data)
{
    apr_interval_time_t waited = 0;

    (void)data;
    apr_atomic_set32(&thread.stopping, 1);
    if (!thread.started) {
        return APR_SUCCESS;
    }
    sf_lease_thread_wake();
    while (!apr_atomic_read32(&thread.ended) && waited < STOP_LIMIT) {
        apr_sleep(STOP_SLICE);
        waited += STOP_SLICE;
    }
    return APR_SUCCESS;
}

apr_status_t sf_lease_thread_init(apr_pool_t *pool)
{
    memset(&thread, 0, sizeof(thread));
    thread.pool = pool;
    thread.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    apr_pool_pre_cleanup_register(pool, NULL, stop);
    return thread.event < 0 ? errno : APR_SUCCESS;
}


/* Messages --------------------------------------------------------------------------------------- */

/* Returns the object of a message's payload, or NULL. The caller puts it. */
static json_object *parse(const sf_control_message *message)
{
    json_object *object = json_tokener_parse(message->payload);

    if (object && !json_object_is_type(object, json_type_object)) {
        json_object_put(object);
        object = NULL;
    }
    return object;
}

static const char *text_of(json_object *object, const char *name)
{
    json_object *value = NULL;

    json_object_object_get_ex(object, name, &value);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

/* Takes a line: for the call that has asked for it, or back, if that call has got another one meanwhile. */
static void take_line(sf_runner_link *runner, const sf_control_message *message,
                      json_object *object)
{
    sf_waiter *waiter = sf_waiter_find(runner, message->number);
    const uint32_t isolate = (uint32_t)sf_json_number(object, "isolate");
    sf_lease *lease;

    if (message->descriptor < 0) {
        return;
    }
    if (!waiter || waiter->state != SF_WAITER_WAITS) {
        close(message->descriptor);
        sf_runner_link_say(runner, SF_CONTROL_RETURN, isolate, "{\"calls\":0,\"rss\":0}");
        return;
    }
    lease = sf_lease_enter(waiter->group, runner, isolate, message->descriptor);
    lease->is_cold = sf_json_number(object, "cold") != 0;
    waiter->runner = NULL;
    sf_lease_hand(lease, waiter);
}

static void take_refusal(sf_runner_link *runner, const sf_control_message *message,
                         json_object *object)
{
    sf_waiter *waiter = sf_waiter_find(runner, message->number);
    const char *reason = text_of(object, "reason");

    if (strcmp(reason, "stopping") == 0) {
        runner->leaving = 1;
    }
    if (waiter && waiter->state == SF_WAITER_WAITS) {
        sf_waiter_end_request(waiter);
        if (!runner->leaving) {
            apr_snprintf(waiter->reason, sizeof(waiter->reason), "%s: %s", reason,
                         text_of(object, "detail"));
            sf_lease_refuse(waiter);
        }
        sf_waiter_wake(waiter);
    }
}

static void take_missing(sf_runner_link *runner, const sf_control_message *message)
{
    sf_waiter *waiter = sf_waiter_find(runner, message->number);

    if (waiter && waiter->state == SF_WAITER_WAITS) {
        waiter->state = SF_WAITER_SENDS_BUILD;
        sf_waiter_wake(waiter);
    }
    else {
        sf_runner_link_say(runner, SF_CONTROL_ABANDON, message->number, "nothing waits for it");
    }
}

/* Takes HELD or DELIVERED. */
static void take_delivery(sf_runner_link *runner, const sf_control_message *message)
{
    sf_waiter *waiter = sf_waiter_find(runner, message->number);

    if (!waiter) {
        return;
    }
    if (message->type == SF_CONTROL_HELD) {
        sf_waiter_hold(waiter);
    }
    else {
        sf_waiter_begin(waiter);
    }
    sf_waiter_wake(waiter);
}

/* Records why an isolate has ended. The thread of its call reads that, or its idle line is closed. */
static void take_end(sf_runner_link *runner, const sf_control_message *message, json_object *object)
{
    sf_lease *lease = sf_lease_find(runner, message->number);
    const char *detail = text_of(object, "detail");

    if (!lease) {
        return;
    }
    apr_snprintf(lease->cause, sizeof(lease->cause), "%s%s%s", text_of(object, "cause"),
                 *detail ? ": " : "", detail);
    if (lease->state == SF_LEASE_BUSY) {
        sf_lease_table_broadcast();
    }
    else {
        sf_lease_take_out(lease);
        sf_lease_destroy(lease, "protocol");
    }
}


/* GIVE ------------------------------------------------------------------------------------------- */

/* What other children wait for. */
typedef struct {
    char environment[SF_UUID_LENGTH + 1];
    char build[SF_UUID_LENGTH + 1]; /* "": any */
    int64_t *left;                  /* how many idle lines are to go back now */
} demand;

/* Writes the digits of a SID as a uuid with hyphens; "" for any other text. */
static void read_sid(char uuid[SF_UUID_LENGTH + 1], const char *sid, const char *prefix)
{
    char digits[SF_SID_DIGITS + 1];

    *uuid = '\0';
    if (sf_sid_parse(sid, prefix, digits)) {
        apr_snprintf(uuid, SF_UUID_LENGTH + 1, "%.8s-%.4s-%.4s-%.4s-%.12s", digits, digits + 8,
                     digits + 12, digits + 16, digits + 20);
    }
}

/* Returns idle lines of a group, those first that were idle for longest. */
static void give(sf_lease_group *group, const void *data)
{
    const demand *wanted = data;

    if (strcmp(group->key.environment, wanted->environment) != 0
        || (*wanted->build && strcmp(group->key.build, wanted->build) != 0)) {
        return;
    }
    group->give_until = sf_clock_now() + GIVE_TIME;
    while (*wanted->left > 0 && !APR_RING_EMPTY(&group->idle, sf_lease, entry)) {
        sf_lease *lease = APR_RING_LAST(&group->idle);

        sf_lease_take_out(lease);
        sf_lease_return(lease);
        --*wanted->left;
    }
}

static void take_demand(json_object *object)
{
    int64_t count = sf_json_number(object, "count");
    demand wanted = { .left = &count };

    read_sid(wanted.environment, text_of(object, "environment"), "ZE");
    read_sid(wanted.build, text_of(object, "build"), "ZB");
    sf_lease_group_each(give, &wanted);
}


/* The connections -------------------------------------------------------------------------------- */

/* Has the calls that wait for leases of the connection ask anew. */
static void forget_runner(sf_lease_group *group, const void *data)
{
    sf_waiter *waiter;

    APR_RING_FOREACH(waiter, &group->waiters, sf_waiter, entry)
    {
        if (waiter->runner == data) {
            sf_waiter_end_request(waiter);
            sf_waiter_wake(waiter);
        }
    }
}

/* Drops a connection that has ended, with its lines: the runner has taken them back. A call that has one goes
 * on while its isolate does. */
static void drop(sf_runner_link *runner)
{
    int i;

    APR_RING_REMOVE(runner, entry);
    sf_lease_group_each(forget_runner, runner);
    for (i = sf_lease_count() - 1; i >= 0; i--) {
        sf_lease *lease = sf_lease_at(i);

        if (lease->runner == runner) {
            lease->runner = NULL;
            if (lease->state != SF_LEASE_BUSY) {
                sf_lease_take_out(lease);
                sf_lease_destroy(lease, "protocol");
            }
        }
    }
    runner->is_lost = 1;
    if (!runner->is_greeted) {
        sf_runner_away_begin(ECONNRESET);
    }
    sf_lease_link_leave(runner);
}

/* Takes HELLO. Returns 0 where the runner has another version of the protocol. */
static int take_hello(sf_runner_link *runner, json_object *object)
{
    const int version = (int)sf_json_number(object, "version");
    json_object *takes_long = NULL;

    json_object_object_get_ex(object, "long", &takes_long);
    runner->takes_long = json_object_get_boolean(takes_long);
    runner->is_greeted = 1;
    if (version == SF_PROTOCOL_VERSION) {
        sf_runner_away_end();
        return 1;
    }
    sf_runner_away_by_version(version);
    return 0;
}

/* Acts on a message. Returns 0 where the connection is to end. */
static int act(sf_runner_link *runner, const sf_control_message *message, json_object *object)
{
    switch (message->type) {
    case SF_CONTROL_HELLO:
        return take_hello(runner, object);
    case SF_CONTROL_LINE:
        take_line(runner, message, object);
        return message->descriptor >= 0;
    case SF_CONTROL_REFUSED:
        take_refusal(runner, message, object);
        return 1;
    case SF_CONTROL_MISSING:
        take_missing(runner, message);
        return 1;
    case SF_CONTROL_HELD:
    case SF_CONTROL_DELIVERED:
        take_delivery(runner, message);
        return 1;
    case SF_CONTROL_GIVE:
        take_demand(object);
        return 1;
    case SF_CONTROL_GONE:
        take_end(runner, message, object);
        return 1;
    case SF_CONTROL_LEAVE:
        runner->leaving = 1;
        return 1;
    case SF_CONTROL_PING:
        sf_runner_link_say(runner, SF_CONTROL_PING, 0, "");
        return 1;
    default:
        return 0;
    }
}

/* Acts on all messages that have arrived. Returns 0 where the connection has ended. */
static int receive(sf_runner_link *runner)
{
    sf_control_message message;
    int goes_on = 1;
    int error = 0;

    while (goes_on) {
        json_object *object;

        error = sf_control_receive(runner->socket, thread.packet, &message);
        if (error) {
            return error == EAGAIN;
        }
        object = parse(&message);
        goes_on = act(runner, &message, object);
        if (!goes_on && message.type != SF_CONTROL_LINE && message.descriptor >= 0) {
            close(message.descriptor);
        }
        json_object_put(object);
    }
    return 0;
}

static void receive_all(void)
{
    sf_runner_link *runner;
    sf_runner_link *next;

    for (runner = APR_RING_FIRST(sf_lease_links());
         runner != APR_RING_SENTINEL(sf_lease_links(), sf_runner_link, entry); runner = next) {
        next = APR_RING_NEXT(runner, entry);
        if (!receive(runner)) {
            drop(runner);
        }
    }
}


/* Lines without calls ---------------------------------------------------------------------------- */

/* Returns the lines that were idle for too long, or all of them, and those of runners that hand over. */
static void return_idle(sf_lease_group *group, const void *data)
{
    const int all = *(const int *)data;
    const apr_time_t late = sf_clock_now() - IDLE_TIME;
    sf_lease *lease;
    sf_lease *next;

    group->users++;
    for (lease = APR_RING_FIRST(&group->idle);
         lease != APR_RING_SENTINEL(&group->idle, sf_lease, entry); lease = next) {
        next = APR_RING_NEXT(lease, entry);
        if (all || lease->since < late || lease->runner->leaving) {
            sf_lease_take_out(lease);
            sf_lease_return(lease);
        }
    }
    group->users--;
}

/* Looks after the lines of a group, which may be dropped. */
static void look_after(sf_lease_group *group, const void *data)
{
    sf_lease_tell_long_calls(group);
    return_idle(group, data);
    sf_lease_settle_group(group);
}

/* Waits for the runner, for isolates that are to say IDLE, and for the thread's event. */
static void wait_for_events(apr_pool_t *pool)
{
    apr_array_header_t *polled = apr_array_make(pool, 64, sizeof(struct pollfd));
    sf_runner_link *runner;
    uint64_t count;
    int timeout;
    int i;

    sf_lease_table_lock();
    APR_ARRAY_PUSH(polled, struct pollfd) = (struct pollfd){ thread.event, POLLIN, 0 };
    APR_RING_FOREACH(runner, sf_lease_links(), sf_runner_link, entry)
    {
        APR_ARRAY_PUSH(polled, struct pollfd) = (struct pollfd){ runner->socket, POLLIN, 0 };
    }
    for (i = 0; i < sf_lease_count(); i++) {
        const sf_lease *lease = sf_lease_at(i);

        if (lease->state == SF_LEASE_SETTLING) {
            APR_ARRAY_PUSH(polled, struct pollfd)
                = (struct pollfd){ lease->line.descriptor, POLLIN, 0 };
        }
    }
    timeout = sf_lease_count() > 0 ? TICK : -1;
    sf_lease_table_unlock();
    poll((struct pollfd *)polled->elts, (nfds_t)polled->nelts, timeout);
    while (read(thread.event, &count, sizeof(count)) > 0) {
    }
}

/* The thread. */
static void *APR_THREAD_FUNC run(apr_thread_t *self, void *data)
{
    apr_pool_t *pool;
    int all = 0;

    (void)self;
    (void)data;
    apr_pool_create_unmanaged_ex(&pool, NULL, NULL);
    while (!all) {
        wait_for_events(pool);
        apr_pool_clear(pool);
        all = sf_lease_thread_is_stopping();
        sf_lease_table_lock();
        receive_all();
        sf_lease_group_each(look_after, &all);
        sf_lease_table_unlock();
    }
    apr_pool_destroy(pool);
    apr_atomic_set32(&thread.ended, 1);
    return NULL;
}

/* All signals are for the other threads. */
apr_status_t sf_lease_thread_start(void)
{
    apr_threadattr_t *attributes;
    apr_thread_t *made;
    sigset_t every;
    sigset_t before;
    apr_status_t rv;

    if (thread.started) {
        return APR_SUCCESS;
    }
    rv = apr_threadattr_create(&attributes, thread.pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_threadattr_detach_set(attributes, 1);
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    rv = apr_thread_create(&made, attributes, run, NULL, thread.pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    thread.started = rv == APR_SUCCESS;
    return rv;
}
