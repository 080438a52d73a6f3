#include "runtime/runner/runner.h"

#include "core/clock.h"
#include "core/json.h"
#include "runtime/runner/builds.h"
#include "runtime/runner/children.h"
#include "runtime/runner/decisions.h"
#include "runtime/runner/handover.h"
#include "runtime/runner/isolate.h"
#include "runtime/runner/log.h"
#include "runtime/runner/notify.h"
#include "runtime/runner/status.h"

#include <apr_strings.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK APR_USEC_PER_SEC

/* Microseconds until a runner that leaves kills the isolates that are still leased: one that stops, and one that
 * has handed over. */
#define STOP_LIMIT (10 * APR_USEC_PER_SEC)
#define HANDOVER_LIMIT (900 * APR_USEC_PER_SEC)

/* Microseconds in which a new runner starts. */
#define START_LIMIT (60 * APR_USEC_PER_SEC)

/* Microseconds in which killed isolates are reaped at the end. */
#define REAP_LIMIT (2 * APR_USEC_PER_SEC)

typedef struct {
    apr_pool_t *pool;
    const sf_runner_config *config;
    const sf_cage *cage;
    char *const *arguments;
    sf_loop *loop;
    sf_store store;
    sf_work_queue *work;
    sf_children children;
    sf_isolate_parts isolate_parts;
    sf_watch signals;
    sf_watch networks; /* of Functions */
    sf_handover handover;
    sf_watch other; /* the other runner of a handover */
    int has_handed_over;
    apr_time_t abort_at; /* when a new runner has not started */
    int is_reload_due;   /* when the runner before this one has ended */
    int is_stopping;     /* by a signal */
    apr_time_t next_decision;
    apr_time_t next_tick;
    apr_time_t stop_at; /* while it leaves */
} runner;


/* What the pool decides ----------------------------------------------------------------------- */

static const char *start(void *data, sf_isolate *isolate)
{
    runner *runner = data;

    sf_builds_use(runner->children.builds, isolate->group->build);
    return sf_isolate_start(
        &runner->isolate_parts, isolate,
        sf_store_path(&runner->store, isolate->group->build->sid, isolate->pool));
}

static void kill_process(void *data, sf_isolate *isolate)
{
    (void)data;
    sf_isolate_kill(isolate);
}

static void grant(void *data, const sf_lease *lease, const sf_isolate *isolate)
{
    json_object *line = json_object_new_object();
    sf_control_message message = { .type = SF_CONTROL_LINE,
                                   .number = (apr_uint32_t)lease->key.number,
                                   .descriptor = sf_isolate_lend(isolate) };

    (void)data;
    sf_json_add(line, "isolate", json_object_new_int64(isolate->number));
    sf_json_add(line, "cold", json_object_new_boolean(isolate->is_cold));
    message.payload = sf_json_text(line, &message.length);
    sf_connection_send(lease->key.holder, &message);
    json_object_put(line);
}

static void send_json(sf_connection *child, sf_control_type type, apr_uint32_t number,
                      json_object *object)
{
    sf_connection_send_text(child, type, number, sf_json_text(object, NULL));
    json_object_put(object);
}

static void refuse(void *data, const sf_lease *lease, const char *reason, const char *detail)
{
    json_object *refusal = json_object_new_object();

    (void)data;
    sf_json_add(refusal, "reason", json_object_new_string(reason));
    sf_json_add(refusal, "detail", json_object_new_string(detail));
    send_json(lease->key.holder, SF_CONTROL_REFUSED, (apr_uint32_t)lease->key.number, refusal);
}

static void deliver(void *data, const sf_lease *lease, int is_there)
{
    (void)data;
    sf_connection_send_text(lease->key.holder, is_there ? SF_CONTROL_DELIVERED : SF_CONTROL_HELD,
                            (apr_uint32_t)lease->key.number, "");
}

static void recall(void *data, void *holder, const char *environment, const char *build, int count)
{
    json_object *request = json_object_new_object();

    (void)data;
    sf_json_add(request, "environment", json_object_new_string(environment));
    sf_json_add(request, "build", build ? json_object_new_string(build) : NULL);
    sf_json_add(request, "count", json_object_new_int(count));
    send_json(holder, SF_CONTROL_GIVE, 0, request);
}


/* Isolates that have ended -------------------------------------------------------------------- */

static void finish_isolate(const runner *runner, sf_isolate *isolate, const sf_isolate_end *end,
                           apr_time_t now)
{
    sf_pool *pool = runner->children.isolates;
    const char *detail
        = apr_pstrcat(isolate->pool, end->cause, *end->detail ? ": " : "", end->detail, NULL);

    if (isolate->state != SF_ISOLATE_ENDING || isolate->is_failed) {
        sf_runner_log(SF_RUNNER_WARNING, "isolate %u of %s has ended by itself: %.300s",
                      isolate->number, isolate->group->environment->sid, detail);
    }
    if (isolate->state == SF_ISOLATE_LEASED) {
        sf_children_gone(isolate->holder, isolate, end);
    }
    sf_pool_remove(pool, isolate, apr_pstrdup(pool->scratch, detail), now);
}

/* Reaps all processes that have ended. */
static void reap(runner *runner)
{
    sf_pool *pool = runner->children.isolates;
    apr_hash_index_t *i;
    sf_isolate_end end;

    runner->isolate_parts.is_reap_due = 0;
    for (i = apr_hash_first(NULL, pool->isolates); i; i = apr_hash_next(i)) {
        sf_isolate *isolate = apr_hash_this_val(i);

        if (sf_isolate_reap(isolate, &end)) {
            finish_isolate(runner, isolate, &end, sf_clock_now());
        }
    }
    apr_pool_clear(pool->scratch);
}


/* Leaving ------------------------------------------------------------------------------------- */

/* Ends the isolates that no child has leased, or all of them. */
static void end_isolates(const runner *runner, int all, apr_time_t now)
{
    sf_pool *pool = runner->children.isolates;
    apr_hash_index_t *i;

    for (i = apr_hash_first(NULL, pool->isolates); i; i = apr_hash_next(i)) {
        sf_isolate *isolate = apr_hash_this_val(i);

        if (all || isolate->state != SF_ISOLATE_LEASED) {
            sf_pool_end(pool, isolate, "the runner stops", now);
        }
    }
}

/* Leases nothing any more. */
static void leave(runner *runner, apr_time_t limit)
{
    runner->stop_at = sf_clock_now() + limit;
    if (!runner->children.is_leaving) {
        sf_children_leave(&runner->children);
    }
}

/* Whether the runner that leaves has nothing left to wait for. */
static int has_left(const runner *runner, apr_time_t now)
{
    return runner->children.is_leaving
           && (now >= runner->stop_at
               || (runner->children.connected == 0
                   && apr_hash_count(runner->children.isolates->isolates) == 0));
}


/* Handing over -------------------------------------------------------------------------------- */

static void hand_over(runner *runner);

/* The new runner has ended, or takes too long: goes on without it. */
static void abort_handover(runner *runner)
{
    sf_handover_abort(&runner->handover);
    sf_runner_log(SF_RUNNER_ERROR, "the new runner has not started; this one goes on");
}

/* The new runner is ready, or has ended before; or the old one has ended. */
static void other_is_ready(void *data, unsigned int events)
{
    runner *runner = data;
    char text[64];

    (void)events;
    if (sf_handover_receive(&runner->handover)) {
        sf_runner_log(SF_RUNNER_NOTICE, "process %d takes over", (int)runner->handover.pid);
        (void)apr_snprintf(text, sizeof(text), "MAINPID=%d", (int)runner->handover.pid);
        sf_notify(text);
        runner->has_handed_over = 1;
        leave(runner, HANDOVER_LIMIT);
    }
    else if (runner->handover.pid == 0) {
        sf_builds_allow_removal(runner->children.builds); /* the old runner has ended */
        if (runner->is_reload_due) {
            hand_over(runner);
        }
    }
    else if (!runner->has_handed_over) {
        abort_handover(runner);
    }
}

static void watch_other(runner *runner)
{
    runner->other.fd = runner->handover.socket;
    runner->other.ready = other_is_ready;
    runner->other.data = runner;
    sf_loop_add(runner->loop, &runner->other, EPOLLIN);
}

/* Starts a new runner with the configuration of now, if that has no error. */
static void hand_over(runner *runner)
{
    sf_runner_config *config;
    apr_pool_t *pool;
    const char *message;

    if (runner->handover.pid > 0 || runner->children.is_leaving) {
        sf_runner_log(SF_RUNNER_WARNING,
                      "SIGHUP is ignored: this runner stops or hands over already");
        return;
    }
    runner->is_reload_due = runner->handover.socket >= 0;
    if (runner->is_reload_due) {
        sf_runner_log(SF_RUNNER_NOTICE, "SIGHUP waits until the runner before this one has ended");
        return;
    }
    apr_pool_create(&pool, runner->pool);
    message = sf_runner_config_read(pool, runner->config->path, &config);
    if (!message) {
        message = sf_handover_start(&runner->handover, runner->arguments, runner->store.lock);
    }
    if (message) {
        sf_runner_log(SF_RUNNER_ERROR, "%s; this runner goes on", message);
    }
    else {
        runner->abort_at = sf_clock_now() + START_LIMIT;
        watch_other(runner);
    }
    apr_pool_destroy(pool);
}


/* Signals ------------------------------------------------------------------------------------- */

static void log_status(const runner *runner)
{
    const sf_status_parts parts = { runner->children.isolates, runner->children.builds,
                                    runner->children.connected, runner->children.is_leaving };
    json_object *status = sf_status_json(&parts);

    sf_runner_log(SF_RUNNER_NOTICE, "status: %s", sf_json_text(status, NULL));
    json_object_put(status);
}

static void signal_has_come(void *data, unsigned int events)
{
    runner *runner = data;
    struct signalfd_siginfo info;

    (void)events;
    if (read(runner->signals.fd, &info, sizeof(info)) != sizeof(info)) {
        return;
    }
    switch (info.ssi_signo) {
    case SIGCHLD:
        reap(runner);
        sf_installs_reap(runner->children.installs);
        break;
    case SIGHUP:
        hand_over(runner);
        break;
    case SIGUSR1:
        log_status(runner);
        break;
    default: /* SIGTERM, SIGINT; the second one does not wait */
        sf_notify("STOPPING=1");
        leave(runner, runner->is_stopping ? 0 : STOP_LIMIT);
        runner->is_stopping = 1;
    }
}

static const char *watch_signals(runner *runner)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL); /* before there are threads */
    (void)signal(SIGXFSZ, SIG_IGN); /* EFBIG instead, also for isolates, which inherit this */
    runner->signals.fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    runner->signals.ready = signal_has_come;
    runner->signals.data = runner;
    return runner->signals.fd >= 0
                   && sf_loop_add(runner->loop, &runner->signals, EPOLLIN) == APR_SUCCESS
               ? NULL
               : "signals cannot be watched";
}


/* The loop ------------------------------------------------------------------------------------ */

static void tick(runner *runner, apr_time_t now)
{
    sf_pool *pool = runner->children.isolates;
    apr_hash_index_t *i;

    runner->next_tick = now + TICK;
    for (i = apr_hash_first(NULL, pool->isolates); i; i = apr_hash_next(i)) {
        sf_isolate_check_start(pool, apr_hash_this_val(i), now);
    }
    sf_builds_tick(runner->children.builds, now);
    sf_children_ping(&runner->children, now);
    sf_installs_tick(runner->children.installs, now);
    if (sf_cage_networks(runner->cage)) {
        sf_networks_tick(sf_cage_networks(runner->cage), now);
    }
    if (runner->handover.pid > 0 && !runner->has_handed_over && now >= runner->abort_at) {
        abort_handover(runner);
    }
}

/* Waits for one event, and reaps isolates that have ended without a signal. */
static void run_once(runner *runner, int milliseconds)
{
    sf_loop_run_once(runner->loop, milliseconds);
    if (runner->isolate_parts.is_reap_due) {
        reap(runner);
    }
}

static void step(runner *runner)
{
    sf_pool *pool = runner->children.isolates;
    apr_time_t now = sf_clock_now();
    apr_time_t next;

    if (pool->is_changed || now >= runner->next_decision) {
        runner->next_decision = sf_decide(pool, now);
    }
    if (now >= runner->next_tick) {
        tick(runner, now);
    }
    next = runner->next_decision < runner->next_tick ? runner->next_decision : runner->next_tick;
    next = pool->is_changed ? now : next;
    run_once(runner, next > now ? (int)((next - now + 999) / 1000) : 0);
    now = sf_clock_now();
    sf_children_sweep(&runner->children, now);
    if (runner->children.is_leaving) {
        end_isolates(runner, 0, now);
    }
}

/* Kills the isolates that are left, does the work on the disk that was begun, and removes the socket. */
static void finish(runner *runner)
{
    const sf_pool *pool = runner->children.isolates;
    const apr_time_t until = sf_clock_now() + REAP_LIMIT;

    end_isolates(runner, 1, sf_clock_now());
    sf_installs_end(runner->children.installs);
    while (apr_hash_count(pool->isolates) > 0 && sf_clock_now() < until) {
        run_once(runner, 100);
    }
    sf_work_queue_end(runner->work);
    if (!runner->has_handed_over) {
        (void)unlink(runner->config->control);
    }
    sf_runner_log(SF_RUNNER_NOTICE, "stopped");
}


/* The start ----------------------------------------------------------------------------------- */

/* Has the thread remove what earlier runners have not finished. */
static void remove_leftovers(const runner *runner, const apr_array_header_t *leftovers)
{
    int i;

    for (i = 0; i < leftovers->nelts; i++) {
        sf_work *work = sf_work_make(runner->work, sf_work_remove);

        work->from = apr_pstrdup(work->pool, APR_ARRAY_IDX(leftovers, i, const char *));
        sf_work_submit(runner->work, work);
    }
}

static void make_installs(runner *runner)
{
    const sf_installs_parts parts
        = { runner->config, runner->cage, runner->loop, &runner->store, runner->work };

    runner->children.installs = sf_installs_make(runner->pool, &parts);
}

static const char *open_cache(runner *runner)
{
    apr_array_header_t *leftovers = apr_array_make(runner->pool, 4, sizeof(const char *));
    sf_builds_parts parts
        = { &runner->store, runner->config->cache_bytes, NULL, runner->children.isolates };
    const char *message = sf_store_open(runner->pool, runner->config->cache, runner->handover.lock,
                                        &runner->store, leftovers);

    if (message) {
        return message;
    }
    if (sf_work_queue_make(runner->pool, runner->loop, &runner->work) != APR_SUCCESS) {
        return "the thread for the disk cannot be started";
    }
    parts.work = runner->work;
    runner->children.builds = sf_builds_make(runner->pool, &parts);
    make_installs(runner);
    remove_leftovers(runner, leftovers);
    return NULL;
}

static void make_pool(runner *runner)
{
    const sf_pool_hooks hooks = { .data = runner,
                                  .start = start,
                                  .kill = kill_process,
                                  .grant = grant,
                                  .refuse = refuse,
                                  .deliver = deliver,
                                  .recall = recall };
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);

    runner->children.isolates = sf_pool_make(runner->pool, cores > 0 ? (int)cores : 1, &hooks);
    runner->children.pool = runner->pool;
    runner->children.config = runner->config;
    runner->children.loop = runner->loop;
    runner->isolate_parts.config = runner->config;
    runner->isolate_parts.cage = runner->cage;
    runner->isolate_parts.loop = runner->loop;
    runner->isolate_parts.pool = runner->children.isolates;
}

/* A network, or the machine's addresses, may have changed. */
static void networks_have_changed(void *data, unsigned int events)
{
    const runner *runner = data;
    const char *message = sf_networks_read(sf_cage_networks(runner->cage));

    (void)events;
    if (message) {
        sf_runner_log(SF_RUNNER_ERROR, "Egress filtered: %s", message);
    }
}

/* Has isolates and installs that wait for the network go on. They log the failure of one that could not start. */
static void network_has_changed(void *data, sf_network *network, sf_network_state before)
{
    runner *runner = data;

    if (before == SF_NETWORK_READY) {
        sf_runner_log(SF_RUNNER_ERROR, "Egress filtered: the network of %s has ended: %.300s",
                      sf_network_environment(network), sf_network_failure(network));
    }
    sf_isolates_network_changed(runner->children.isolates, network);
    sf_installs_network_changed(runner->children.installs, network);
}

/* Has the networks of Functions follow the machine's addresses. */
static void watch_networks(runner *runner)
{
    const sf_network_listener listener = { network_has_changed, runner };

    if (sf_cage_networks(runner->cage)) {
        sf_networks_listen(sf_cage_networks(runner->cage), &listener);
        runner->networks.fd = sf_networks_descriptor(sf_cage_networks(runner->cage));
        runner->networks.ready = networks_have_changed;
        runner->networks.data = runner;
        sf_loop_add(runner->loop, &runner->networks, EPOLLIN);
    }
}

/* Makes the cgroups of isolates, or says why memory and processes are limited for single processes only. */
static void make_cgroups(runner *runner)
{
    const char *message = sf_cgroups_make(runner->pool, &runner->isolate_parts.cgroups);

    if (message) {
        runner->isolate_parts.cgroups = NULL;
        sf_runner_log(SF_RUNNER_WARNING,
                      "no cgroups, so that no limit holds for all processes of an isolate: %s",
                      message);
    }
}

static const char *prepare(runner *runner)
{
    const char *message;

    sf_handover_inherit(&runner->handover);
    if (sf_loop_make(runner->pool, &runner->loop) != APR_SUCCESS) {
        return "there is no event loop";
    }
    make_pool(runner);
    make_cgroups(runner);
    message = watch_signals(runner);
    message = message ? message : open_cache(runner);
    watch_networks(runner);
    return message ? message : sf_children_listen(&runner->children);
}

/* Tells systemd, the old runner and the log that the runner is ready. */
static void announce(runner *runner)
{
    sf_runner_log(SF_RUNNER_NOTICE, "ready: %s, %d Builds on disk", runner->config->control,
                  sf_builds_count(runner->children.builds));
    if (runner->config->isolation == SF_ISOLATION_NONE) {
        sf_runner_log(
            SF_RUNNER_WARNING,
            "Isolation none isolates nothing: every Function can read and do what user %d can",
            (int)geteuid());
    }
    sf_notify("READY=1");
    sf_handover_ready(&runner->handover);
    if (runner->handover.socket >= 0) {
        watch_other(runner);
    }
    else {
        sf_builds_allow_removal(runner->children.builds);
    }
}

const char *sf_runner_run(apr_pool_t *pool, const sf_runner_config *config, const sf_cage *cage,
                          char *const *arguments)
{
    runner runner = { .pool = pool, .config = config, .cage = cage, .arguments = arguments };
    const char *message = prepare(&runner);

    if (message) {
        if (runner.work) {
            sf_work_queue_end(runner.work); /* its thread uses the pool */
        }
        return message;
    }
    announce(&runner);
    while (!has_left(&runner, sf_clock_now())) {
        step(&runner);
    }
    finish(&runner);
    return NULL;
}
