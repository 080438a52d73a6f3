#include "runtime/domains/leases.h"

#include "core/config.h"
#include "core/log.h"
#include "runtime/domains/build_stream.h"
#include "runtime/domains/lease_rules.h"
#include "runtime/domains/lease_thread.h"
#include "runtime/domains/runner_away.h"

#include <apr_strings.h>
#include <http_log.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

/* How often a waiting call tries to connect to a runner that is away. */
#define CONNECT_PAUSE apr_time_from_msec(50)

/* How long a call waits for the cause of its isolate's end. */
#define CAUSE_WAIT apr_time_from_msec(250)

/* An isolate that uses more than this part of its memory after a call is not used again. */
#define MEMORY_PARTS 4
#define MEMORY_PARTS_USED 3

/* A call that takes a line, or a Deployment that has one started. */
typedef struct {
    sf_domain_request *request;
    sf_control_type message; /* LEASE or WARM */
    sf_lease_group *group;
    sf_waiter waiter;
} taking;

apr_status_t sf_leases_init(apr_pool_t *pool)
{
    const apr_status_t rv = sf_lease_table_init(pool);

    return rv == APR_SUCCESS ? sf_lease_thread_init(pool) : rv;
}

/* The runner ------------------------------------------------------------------------------------- */

/* Returns a connection on which the runner grants leases, or NULL. */
static sf_runner_link *connected(void)
{
    sf_runner_link *runner;

    APR_RING_FOREACH(runner, sf_lease_links(), sf_runner_link, entry)
    {
        if (!runner->leaving) {
            return runner;
        }
    }
    return NULL;
}

/* Connects. Returns NULL where the runner is away. */
static sf_runner_link *connect_runner(void)
{
    sf_runner_link *runner;
    apr_status_t rv;

    if (sf_runner_away_pauses()) {
        return NULL;
    }
    runner = sf_lease_link_make();
    rv = sf_runner_link_open(runner, sf_config_runner());
    if (rv != APR_SUCCESS) {
        sf_lease_link_free(runner);
        sf_runner_away_begin(rv);
        return NULL;
    }
    APR_RING_INSERT_TAIL(sf_lease_links(), runner, sf_runner_link, entry);
    sf_lease_thread_wake();
    return runner;
}

/* Returns the payload of LEASE and WARM. */
static const char *lease_text(const taking *call)
{
    const request_rec *r = call->request->r;
    const sf_route *route = &call->request->route;
    char environment[SF_SID_LENGTH + 1];
    char account[SF_SID_LENGTH + 1];
    char build[SF_SID_LENGTH + 1];

    sf_sid_write(environment, "ZE", route->environment);
    sf_sid_write(account, "AC", route->account);
    sf_sid_write(build, "ZB", route->build);
    return apr_psprintf(r->pool,
                        "{\"environment\":\"%s\",\"account\":\"%s\",\"build\":\"%s\","
                        "\"runtime\":\"%s\",\"concurrency\":%d,\"isolates\":%d,"
                        "\"memory\":%" APR_OFF_T_FMT ",\"idle\":%d,\"calls\":%d,\"timeout\":%d,"
                        "\"wait\":%d}",
                        environment, account, build, call->request->file->runtime,
                        sf_config_concurrency(r), sf_config_isolates(), sf_config_memory(r),
                        (int)apr_time_sec(sf_config_idle_timeout()), sf_config_isolate_calls(),
                        (int)apr_time_sec(sf_config_execution_timeout(r)),
                        (int)apr_time_as_msec(sf_config_queue_timeout(r)));
}

/* Asks the runner for a lease. Returns 0 where it is away. */
static int ask(taking *call)
{
    sf_waiter *waiter = &call->waiter;
    sf_runner_link *runner = connected();

    if (!runner) {
        runner = connect_runner();
    }
    if (!runner) {
        return 0;
    }
    waiter->number = ++runner->last_lease;
    if (sf_runner_link_say(runner, call->message, waiter->number, lease_text(call))) {
        waiter->runner = runner;
        waiter->asked_until = sf_clock_now() + sf_config_queue_timeout(call->request->r)
                              + apr_time_from_sec(SF_KEPT_SECONDS);
    }
    return waiter->runner != NULL;
}


/* Waiting ---------------------------------------------------------------------------------------- */

/* Sends the Build, without the mutex. */
static int send_build(taking *call)
{
    sf_waiter *waiter = &call->waiter;
    sf_runner_link *runner = waiter->runner;
    int status;

    waiter->state = SF_WAITER_WAITS;
    if (!runner) {
        return OK;
    }
    runner->users++;
    sf_lease_table_unlock();
    status = sf_build_stream_send(call->request, runner, waiter->number);
    sf_lease_table_lock();
    runner->users--;
    sf_lease_link_leave(runner);
    if (!waiter->is_held) {
        sf_waiter_begin(waiter);
    }
    if (status != OK) {
        waiter->runner = NULL; /* ABANDON has ended the lease */
    }
    return status;
}

/* Whether a runner that is away may come back in time: it is being restarted. Logs otherwise that it is away. A
 * Deployment does not wait for that. */
static int may_come_back(const taking *call)
{
    const sf_caller caller = sf_caller_of(call->request->r);

    if (call->message == SF_CONTROL_WARM) {
        return 0;
    }
    if (!sf_runner_away_for(sf_config_queue_timeout(call->request->r))) {
        return 1;
    }
    sf_runner_away_log(&caller);
    return 0;
}

/* Returns the status of a call that has waited in vain. Where the runner was not asked and is not away, the call has
 * waited for the lines of this child. */
static int status_of_timeout(const sf_waiter *waiter)
{
    const int is_available = waiter->runner || !sf_runner_away_for(0);

    return is_available ? HTTP_TOO_MANY_REQUESTS : HTTP_SERVICE_UNAVAILABLE;
}

/* Waits until something happens to the waiter. Returns OK, or the status with which the call ends. */
static int wait_once(taking *call)
{
    sf_waiter *waiter = &call->waiter;
    const apr_time_t now = sf_clock_now();
    apr_time_t until = waiter->deadline;

    if (now >= waiter->deadline) {
        return status_of_timeout(waiter);
    }
    if (sf_lease_thread_is_stopping()) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    if (sf_lease_is_to_ask(waiter)) {
        if (!ask(call)) {
            if (!may_come_back(call)) {
                return HTTP_SERVICE_UNAVAILABLE;
            }
            until = now + CONNECT_PAUSE;
        }
    }
    else if (!waiter->runner) {
        until = waiter->ask_at;
    }
    sf_lease_table_wait(waiter->wake, (until < waiter->deadline ? until : waiter->deadline) - now);
    return OK;
}

/* Logs a refusal once. */
static void log_refusal(taking *call)
{
    const sf_caller caller = sf_caller_of(call->request->r);

    if (call->message == SF_CONTROL_LEASE) {
        sf_log_limited(&caller, APLOG_ERR, "SF0082", "the runner refuses an isolate: %s",
                       call->waiter.reason);
    }
    *call->waiter.reason = '\0';
}

/* Waits until the waiter has a lease. */
static int wait_for_lease(taking *call)
{
    int status = OK;

    while (status == OK) {
        if (*call->waiter.reason) {
            log_refusal(call);
        }
        switch (call->waiter.state) {
        case SF_WAITER_HAS_LEASE:
            return OK;
        case SF_WAITER_REFUSED:
            return HTTP_SERVICE_UNAVAILABLE;
        case SF_WAITER_SENDS_BUILD:
            status = send_build(call);
            break;
        case SF_WAITER_WAITS:
            status = wait_once(call);
        }
    }
    if (call->waiter.runner) {
        sf_runner_link_say(call->waiter.runner, SF_CONTROL_CANCEL, call->waiter.number, "");
    }
    return status;
}

/* Waits as the last call of the group's queue. */
static int queue(taking *call)
{
    sf_waiter *waiter = &call->waiter;
    sf_lease_group *group = call->group;
    int status;

    waiter->wake = sf_lease_table_take_wake();
    if (!waiter->wake) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    waiter->ask_at = sf_lease_ask_time(group);
    sf_waiter_enter(waiter, group);
    if (!APR_RING_EMPTY(&group->settling, sf_lease, entry)) {
        sf_lease_thread_wake();
    }
    status = wait_for_lease(call);
    sf_waiter_leave(waiter);
    sf_lease_table_free_wake(waiter->wake);
    if (status != OK && waiter->lease) { /* a line that came while the Build was sent */
        sf_lease_place(waiter->lease);
        waiter->lease = NULL;
    }
    return status;
}

/* Logs that ServerlessRunner is missing. */
static int refuse_without_runner(request_rec *r)
{
    const sf_caller caller = sf_caller_of(r);

    sf_log_limited(&caller, APLOG_ERR, "SF0080",
                   "Functions are answered with 503: set ServerlessRunner to the control socket of "
                   "serverless-runner");
    return HTTP_SERVICE_UNAVAILABLE;
}

static sf_lease_key key_of(const sf_route *route)
{
    sf_lease_key key;

    memset(&key, 0, sizeof(key));
    apr_cpystrn(key.environment, route->environment, sizeof(key.environment));
    apr_cpystrn(key.build, route->build, sizeof(key.build));
    return key;
}

static void set_limits(sf_lease *lease, const request_rec *r)
{
    lease->limits.calls = (apr_uint64_t)SF_ISOLATE_CALLS(sf_config_isolate_calls(), lease->isolate);
    lease->limits.rss = (apr_uint64_t)sf_config_memory(r) / MEMORY_PARTS * MEMORY_PARTS_USED;
}

/* Takes a line that is here, or asks the runner for one. Called with the mutex held. */
static int take(taking *call, sf_lease **lease)
{
    const sf_lease_key key = key_of(&call->request->route);
    int status = OK;

    if (sf_lease_thread_start() != APR_SUCCESS) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    call->waiter.patience = sf_config_queue_timeout(call->request->r);
    sf_waiter_begin(&call->waiter);
    call->group = sf_lease_group_enter(&key);
    call->group->users++;
    *lease = sf_lease_pick(call->group);
    if (!*lease) {
        status = queue(call);
        *lease = call->waiter.lease;
    }
    call->group->users--;
    sf_lease_group_leave(call->group);
    return status;
}

int sf_leases_take(sf_domain_request *request, sf_lease **lease)
{
    taking call = { .request = request, .message = SF_CONTROL_LEASE };
    int status;

    if (!sf_config_runner()) {
        return refuse_without_runner(request->r);
    }
    sf_lease_table_lock();
    status = take(&call, lease);
    sf_lease_table_unlock();
    if (status == OK) {
        set_limits(*lease, request->r);
    }
    return status;
}

void sf_leases_warm(sf_domain_request *request)
{
    taking call = { .request = request, .message = SF_CONTROL_WARM };
    sf_lease *lease;

    if (!sf_config_runner()) {
        return;
    }
    sf_lease_table_lock();
    if (take(&call, &lease) == OK) {
        sf_lease_return(lease); /* children that serve domains need it */
    }
    sf_lease_table_unlock();
}


/* The end of a call ------------------------------------------------------------------------------ */

void sf_leases_give_back(sf_lease *lease)
{
    const sf_line_result result = sf_lease_settle(lease);

    sf_lease_table_lock();
    if (result == SF_LINE_OK) {
        sf_lease_place(lease);
    }
    else if (result == SF_LINE_LATE) {
        const int is_wanted = sf_lease_is_wanted(lease->group);

        sf_lease_put(lease, SF_LEASE_SETTLING);
        if (is_wanted) {
            sf_lease_thread_wake();
        }
    }
    else {
        sf_lease_destroy(lease, "protocol");
    }
    sf_lease_table_unlock();
}

void sf_leases_kill(sf_lease *lease, const char *cause)
{
    sf_lease_table_lock();
    sf_lease_destroy(lease, cause);
    sf_lease_table_unlock();
}

void sf_leases_find_cause(const sf_lease *lease, char cause[SF_CAUSE_BYTES])
{
    const apr_time_t deadline = sf_clock_now() + CAUSE_WAIT;
    apr_time_t now = sf_clock_now();

    sf_lease_table_lock();
    while (!*lease->cause && lease->runner && now < deadline) {
        sf_lease_table_wait_for_end(deadline - now);
        now = sf_clock_now();
    }
    apr_cpystrn(cause, lease->cause, SF_CAUSE_BYTES);
    sf_lease_table_unlock();
}
