#include "runtime/runner/children.h"

#include "core/clock.h"
#include "core/json.h"
#include "runtime/runner/demand.h"
#include "runtime/runner/log.h"
#include "runtime/runner/status.h"

#include <apr_strings.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 512
#define CONNECTIONS_MAX 1024

/* Leases that wait at a time. A child has at most one for each of its threads. */
#define LEASES_MAX 65536

/* Microseconds between two lines in the log about users that may not connect. */
#define REFUSAL_PAUSE APR_USEC_PER_SEC

/* Microseconds between two PINGs, and how many a child may leave without an answer. They are counted because time
 * also passes while the machine is suspended. */
#define PING_INTERVAL (5 * APR_USEC_PER_SEC)
#define PINGS_MAX 6

/* Peer credentials, not the mode, decide about a connection. */
#define SOCKET_MASK 0111


/* Messages ------------------------------------------------------------------------------------ */

typedef struct {
    sf_children *children;
    sf_connection *child;
    const sf_control_message *message;
    apr_time_t now;
} event;

/* Ends the connection of a child that has sent a wrong message. */
static void fail(const event *event, const char *failure)
{
    event->child->failure = failure;
}

static void send_json(sf_connection *child, sf_control_type type, apr_uint32_t number,
                      json_object *object)
{
    sf_connection_send_text(child, type, number, sf_json_text(object, NULL));
    json_object_put(object);
}

static void hello(const event *event)
{
    const sf_runner_config *config = event->children->config;
    json_object *request = sf_demand_object(event->message->payload, event->message->length);
    json_object *answer = json_object_new_object();
    json_object *runtimes = json_object_new_array();
    apr_int64_t version = 0;
    int i;

    if (!request
        || !sf_demand_integer(request, "version", SF_PROTOCOL_VERSION, SF_PROTOCOL_VERSION,
                              &version)) {
        fail(event, "HELLO of another version");
    }
    for (i = 0; i < config->runtimes->nelts; i++) {
        json_object_array_add(
            runtimes, json_object_new_string(APR_ARRAY_IDX(config->runtimes, i, sf_runtime).name));
    }
    sf_json_add(answer, "version", json_object_new_int(SF_PROTOCOL_VERSION));
    sf_json_add(answer, "runtimes", runtimes);
    sf_json_add(answer, "isolation", json_object_new_string(sf_isolation_name(config->isolation)));
    sf_json_add(answer, "egress", json_object_new_string(sf_egress_name(config->egress)));
    sf_json_add(answer, "install", json_object_new_boolean(config->install != NULL));
    sf_json_add(answer, "long", json_object_new_boolean(1));
    event->child->is_greeted = 1;
    send_json(event->child, SF_CONTROL_HELLO, 0, answer);
    json_object_put(request);
}

static void send_refused(sf_connection *child, apr_uint32_t number, const char *reason,
                         const char *detail)
{
    json_object *refusal = json_object_new_object();

    sf_json_add(refusal, "reason", json_object_new_string(reason));
    sf_json_add(refusal, "detail", json_object_new_string(detail));
    send_json(child, SF_CONTROL_REFUSED, number, refusal);
}

static sf_lease_key key_of(const event *event)
{
    const sf_lease_key key = { event->child, event->message->number };

    return key;
}

static void lease(const event *event)
{
    sf_children *children = event->children;
    const apr_uint32_t number = event->message->number;
    sf_demand demand;
    sf_build *build;

    if (!sf_demand_read(event->message->payload, event->message->length, &demand)) {
        fail(event, "a LEASE that cannot be read");
    }
    else if (sf_pool_find_lease(children->isolates, key_of(event))
             || sf_builds_is_sending(children->builds, event->child, number)) {
        fail(event, "a number of a lease in use");
    }
    else if (apr_hash_count(children->isolates->leases) >= LEASES_MAX) {
        fail(event, "too many leases");
    }
    else if (children->is_leaving) {
        send_refused(event->child, number, "stopping", "this runner stops");
    }
    else if (!sf_runner_config_runtime(children->config, demand.runtime)) {
        send_refused(event->child, number, "runtime", demand.runtime);
    }
    else {
        build = sf_builds_find(children->builds, demand.build);
        sf_pool_add_lease(children->isolates, key_of(event), &demand, build, event->now);
        sf_builds_want(children->builds, build, event->now);
    }
}

/* A lease of a Build that is about to be deployed. An Environment that is not in use gets no isolate for that. */
static void warm(const event *event)
{
    sf_demand demand;

    if (sf_demand_read(event->message->payload, event->message->length, &demand)
        && !sf_pool_is_used(event->children->isolates, demand.environment)) {
        send_refused(event->child, event->message->number, "unused",
                     "the Environment has no isolates");
    }
    else {
        lease(event);
    }
}

static void cancel(const event *event)
{
    sf_lease *waiting = sf_pool_find_lease(event->children->isolates, key_of(event));

    if (waiting) { /* else LINE, REFUSED or the lease's end has crossed it */
        sf_pool_remove_lease(event->children->isolates, waiting);
    }
}

static void build_part(const event *event)
{
    sf_builds_receive(event->children->builds, event->child, event->message, event->now);
}

/* Returns the isolate that the child has leased; NULL where it has ended meanwhile. An isolate of another child's
 * or none ever ends the connection. */
static sf_isolate *leased_isolate(const event *event)
{
    const sf_pool *pool = event->children->isolates;
    sf_isolate *isolate = sf_pool_find_isolate(pool, event->message->number);

    if (!isolate || isolate->state == SF_ISOLATE_ENDING) {
        if (event->message->number > pool->last_number) {
            fail(event, "an isolate that was never there");
        }
        return NULL;
    }
    if (isolate->holder != event->child) {
        fail(event, "an isolate that is not leased to this child");
        return NULL;
    }
    return isolate;
}

static void give_back(const event *event)
{
    json_object *usage = sf_demand_object(event->message->payload, event->message->length);
    sf_isolate *isolate = leased_isolate(event);
    apr_int64_t calls;
    apr_int64_t rss;
    const char *reason;

    if (!usage || !sf_demand_integer(usage, "calls", 0, APR_INT64_MAX, &calls)
        || !sf_demand_integer(usage, "rss", 0, APR_INT64_MAX, &rss)) {
        fail(event, "a RETURN that cannot be read");
    }
    else if (isolate) {
        sf_pool_return(event->children->isolates, isolate, calls, rss, event->now);
        reason = isolate->state == SF_ISOLATE_IDLE ? sf_isolate_take_back(isolate) : NULL;
        if (reason) {
            sf_pool_end(event->children->isolates, isolate, reason, event->now);
        }
    }
    json_object_put(usage);
}

/* Writes one of the causes of KILL. Returns NULL for any other text. */
static const char *cause_of_kill(const char *cause)
{
    static const char *const causes[] = { "timeout", "protocol", "memory", "busy" };
    size_t i;

    for (i = 0; i < sizeof(causes) / sizeof(*causes); i++) {
        if (strcmp(causes[i], cause) == 0) {
            return causes[i];
        }
    }
    return NULL;
}

static void kill_isolate(const event *event)
{
    json_object *order = sf_demand_object(event->message->payload, event->message->length);
    sf_isolate *isolate = leased_isolate(event);
    json_object *cause = NULL;
    const char *text;

    json_object_object_get_ex(order, "cause", &cause);
    text = cause ? cause_of_kill(json_object_get_string(cause)) : NULL;
    if (!text) {
        fail(event, "a KILL that cannot be read");
    }
    else if (isolate) {
        sf_pool_kill(event->children->isolates, isolate, text, event->now);
    }
    json_object_put(order);
}

static void call_is_long(const event *event)
{
    const sf_isolate *isolate = leased_isolate(event);

    if (isolate) {
        sf_pool_want_spare(event->children->isolates, isolate);
    }
}

static void status(const event *event)
{
    const sf_status_parts parts = { event->children->isolates, event->children->builds,
                                    event->children->connected, event->children->is_leaving };

    send_json(event->child, SF_CONTROL_STATUS, event->message->number, sf_status_json(&parts));
}

/* The answer to PING: every message of a child tells that it does not hang. */
static void ping(const event *event)
{
    (void)event;
}

static void install(const event *event)
{
    sf_installs *installs = event->children->installs;
    const char *message = sf_installs_begin(installs, event->child, event->message);

    if (message) {
        fail(event, message);
    }
}

static void (*const handlers[])(const event *event) = {
    [SF_CONTROL_HELLO] = hello,        [SF_CONTROL_LEASE] = lease,
    [SF_CONTROL_CANCEL] = cancel,      [SF_CONTROL_FILE] = build_part,
    [SF_CONTROL_DATA] = build_part,    [SF_CONTROL_STORE] = build_part,
    [SF_CONTROL_ABANDON] = build_part, [SF_CONTROL_RETURN] = give_back,
    [SF_CONTROL_KILL] = kill_isolate,  [SF_CONTROL_WARM] = warm,
    [SF_CONTROL_STATUS] = status,      [SF_CONTROL_PING] = ping,
    [SF_CONTROL_INSTALL] = install,    [SF_CONTROL_LONG] = call_is_long,
};

#define HANDLERS (sizeof(handlers) / sizeof(*handlers))

/* Does what a message says. HELLO is the first one, and comes once. */
static void handle(const event *event)
{
    const unsigned int type = event->message->type;

    if (type >= HANDLERS || !handlers[type]) {
        fail(event, "a message of an unknown type");
    }
    else if ((type == SF_CONTROL_HELLO) == event->child->is_greeted) {
        fail(event, event->child->is_greeted ? "a second HELLO" : "a message before HELLO");
    }
    else {
        handlers[type](event);
    }
}


/* Connections --------------------------------------------------------------------------------- */

typedef struct {
    sf_children *children;
    sf_connection *connection;
} peer;

static void connection_is_ready(void *data, unsigned int events)
{
    static unsigned char packet[SF_CONTROL_PACKET + 1];
    const peer *peer = data;
    sf_control_message message;
    event event = { peer->children, peer->connection, &message, sf_clock_now() };

    if (events & EPOLLOUT) {
        sf_connection_flush(peer->connection);
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        && sf_connection_receive(peer->connection, packet, &message) == APR_SUCCESS) {
        peer->connection->pings = 0;
        handle(&event);
    }
}

/* Logs that a user may not connect, once a second: any user of the machine can try. */
static void log_refusal(const struct ucred *credentials)
{
    static apr_time_t last;
    const apr_time_t now = sf_clock_now();

    if (now - last >= REFUSAL_PAUSE) {
        last = now;
        sf_runner_log(SF_RUNNER_WARNING,
                      "process %d of user %d may not connect: no Client line names it",
                      (int)credentials->pid, (int)credentials->uid);
    }
}

/* Whether the configuration lets the user of the other end connect. */
static int is_client(const sf_children *children, int fd)
{
    const apr_array_header_t *clients = children->config->clients;
    struct ucred credentials;
    socklen_t length = sizeof(credentials);
    int i;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
        return 0;
    }
    for (i = 0; i < clients->nelts; i++) {
        if (APR_ARRAY_IDX(clients, i, uid_t) == credentials.uid) {
            return 1;
        }
    }
    log_refusal(&credentials);
    return 0;
}

static void add_connection(sf_children *children, int fd)
{
    apr_pool_t *pool;
    sf_connection *connection;
    peer *peer;

    apr_pool_create(&pool, children->pool);
    if (sf_connection_make(pool, children->loop, fd, &connection) != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return;
    }
    peer = apr_palloc(pool, sizeof(*peer));
    peer->children = children;
    peer->connection = connection;
    connection->watch.ready = connection_is_ready;
    connection->watch.data = peer;
    APR_RING_INSERT_TAIL(&children->connections, connection, sf_connection, link);
    children->connected++;
}

static void accept_connection(void *data, unsigned int events)
{
    sf_children *children = data;
    const int fd = accept4(children->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)events;
    if (fd < 0) {
        return;
    }
    if (children->connected >= CONNECTIONS_MAX || !is_client(children, fd)) {
        close(fd);
        return;
    }
    add_connection(children, fd);
}

static void close_connection(sf_children *children, sf_connection *child, apr_time_t now)
{
    if (child->failure && *child->failure) {
        sf_runner_log(SF_RUNNER_WARNING, "the connection of process %d is closed: %s",
                      (int)child->pid, child->failure);
    }
    APR_RING_REMOVE(child, link);
    children->connected--;
    sf_pool_remove_holder(children->isolates, child, now);
    sf_builds_remove_holder(children->builds, child, now);
    sf_installs_remove_holder(children->installs, child);
    apr_pool_destroy(child->pool);
}

void sf_children_sweep(sf_children *children, apr_time_t now)
{
    sf_connection *child;
    sf_connection *next;

    APR_RING_FOREACH_SAFE(child, next, &children->connections, sf_connection, link)
    {
        if (child->failure
            || (children->is_leaving && child->queued == 0
                && sf_pool_held(children->isolates, child) == 0)) {
            close_connection(children, child, now);
        }
    }
}

static void ping_child(const sf_children *children, sf_connection *child)
{
    if (sf_pool_held(children->isolates, child) == 0) {
        child->pings = 0;
    }
    else if (child->pings == PINGS_MAX) {
        child->failure = "it has isolates, and does not answer";
    }
    else {
        child->pings++;
        sf_connection_send_text(child, SF_CONTROL_PING, 0, "");
    }
}

void sf_children_ping(sf_children *children, apr_time_t now)
{
    sf_connection *child;

    if (now < children->next_ping) {
        return;
    }
    children->next_ping = now + PING_INTERVAL;
    APR_RING_FOREACH(child, &children->connections, sf_connection, link)
    {
        ping_child(children, child);
    }
}

void sf_children_leave(sf_children *children)
{
    sf_connection *child;

    children->is_leaving = 1;
    children->isolates->is_leaving = 1;
    sf_builds_end(children->builds);
    sf_pool_refuse_all(children->isolates, NULL, "stopping", "this runner stops");
    APR_RING_FOREACH(child, &children->connections, sf_connection, link)
    {
        sf_connection_send_text(child, SF_CONTROL_LEAVE, 0, "");
    }
}

void sf_children_gone(void *holder, const sf_isolate *isolate, const sf_isolate_end *end)
{
    json_object *gone = json_object_new_object();

    sf_json_add(gone, "cause", json_object_new_string(end->cause));
    sf_json_add(gone, "detail", json_object_new_string(end->detail));
    send_json(holder, SF_CONTROL_GONE, isolate->number, gone);
}


/* The socket ---------------------------------------------------------------------------------- */

/* Binds a new socket aside, and gives it the path: children connect to the earlier one until then. */
static const char *bind_socket(const sf_children *children)
{
    const char *path = children->config->control;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const mode_t mask = umask(SOCKET_MASK);
    const char *failed = NULL;

    apr_snprintf(address.sun_path, sizeof(address.sun_path), "%s.%d", path, (int)getpid());
    (void)unlink(address.sun_path);
    if (bind(children->listener.fd, (const struct sockaddr *)&address, sizeof(address)) != 0
        || listen(children->listener.fd, BACKLOG) != 0 || rename(address.sun_path, path) != 0) {
        failed = strerror(errno);
        (void)unlink(address.sun_path);
    }
    umask(mask);
    return failed ? apr_pstrcat(children->pool, "the socket ", path, ": ", failed, NULL) : NULL;
}

const char *sf_children_listen(sf_children *children)
{
    const char *message;

    APR_RING_INIT(&children->connections, sf_connection, link);
    children->listener.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    children->listener.ready = accept_connection;
    children->listener.data = children;
    if (children->listener.fd < 0) {
        return "there is no socket of the kind SOCK_SEQPACKET";
    }
    message = bind_socket(children);
    if (!message && sf_loop_add(children->loop, &children->listener, EPOLLIN) != APR_SUCCESS) {
        message = "the socket cannot be watched";
    }
    return message;
}
