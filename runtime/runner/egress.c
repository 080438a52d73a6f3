#include "runtime/runner/egress.h"
#include "core/clock.h"
#include "core/process/sandbox.h"
#include "runtime/runner/host_address.h"
#include "runtime/runner/loop.h"
#include "runtime/runner/program.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE apr_time_from_sec(5)
#define OUTPUT_SIZE 1024
#define PIPE_SIZE 65536 /* which a pipe has at least */
#define CLOSED (-1)

enum { PASTA, NSENTER, NFT, IP, PROGRAMS };

static const sf_program programs[] = { [PASTA] = { "pasta", "passt" },
                                       [NSENTER] = { "nsenter", "util-linux" },
                                       [NFT] = { "nft", "nftables" },
                                       [IP] = { "ip", "iproute2" } };

struct sf_networks {
    apr_pool_t *pool;
    const char *path[PROGRAMS];
    sf_egress_rules *rules;
    sf_loop *loop;       /* of the watches here: sf_networks_read() runs it */
    sf_watch addresses;  /* see sf_host_watch() */
    const char *message; /* of the last change of addresses; NULL if it was read */
    apr_hash_t *active;  /* networks by Environment */
    sf_network_listener listener;
};

struct sf_network {
    sf_networks *networks;
    apr_pool_t *pool;
    const char *environment;
    int users;
    sf_network_state state;
    int is_updating;     /* nft reads rules */
    apr_time_t deadline; /* of the start, or of the update */
    int is_late;         /* was not ready at the deadline */
    sf_sandbox process;
    sf_watch output;
    char line[OUTPUT_SIZE]; /* of the programs' output, as far as it was read */
    size_t length;
    char message[OUTPUT_SIZE];  /* the first line that tells of a failure, or "" */
    unsigned int rules_version; /* of the rules that nft reads or has read */
    int user_namespace;         /* a descriptor, as soon as the network is ready */
    int network_namespace;
};


/* The start ----------------------------------------------------------------------------------- */

/* The first process in the namespaces. Its input is texts of rules, each after a line with its number of bytes. After the first
 * text it prints its number as /proc has it, and APPLIED after each other one. It ends when nft fails, and when the runner closes
 * its input or is gone; pasta ends with it. */
#define APPLIED "applied"
static const char script[] = "apply() { read -r bytes && head -c \"$bytes\" | \"$0\" -f -; }\n"
                             "apply && echo \"$2\" | \"$1\" -batch -"
                             " && read process rest </proc/self/stat && echo \"$process\""
                             " && while apply; do echo " APPLIED "; done";

/* No port is forwarded in either direction, and the gateway's address does not stand for the machine. */
static const char *const pasta_options[] = { "--foreground",
                                             "--quiet",
                                             "--no-map-gw",
                                             "-t",
                                             "none",
                                             "-u",
                                             "none",
                                             "-T",
                                             "none",
                                             "-U",
                                             "none",
                                             "--no-dhcp",
                                             "--no-dhcpv6",
                                             "--no-ra",
                                             "-I",
                                             SF_EGRESS_INTERFACE,
                                             NULL };
static const char *const pasta_options4[] = { "-a",
                                              SF_EGRESS_ADDRESS4,
                                              "-n",
                                              "255.255.255.252",
                                              "-g",
                                              SF_EGRESS_GATEWAY4,
                                              "--dns-forward",
                                              SF_EGRESS_RESOLVER4,
                                              NULL };
static const char *const pasta_options6[]
    = { "-a", SF_EGRESS_ADDRESS6, "-g", SF_EGRESS_GATEWAY6, "--dns-forward", SF_EGRESS_RESOLVER6,
        NULL };
static const char *const only4[] = { "--ipv4-only", NULL };
static const char *const only6[] = { "--ipv6-only", NULL };

static const char *const *pasta_arguments(const sf_networks *networks, apr_pool_t *pool)
{
    const sf_egress_rules *rules = networks->rules;
    const char *const command[]
        = { "--",         "/bin/sh", "-c", script, networks->path[NFT], networks->path[IP],
            rules->links, NULL };
    apr_array_header_t *arguments = apr_array_make(pool, 48, sizeof(const char *));

    APR_ARRAY_PUSH(arguments, const char *) = networks->path[PASTA];
    sf_program_add(arguments, pasta_options);
    sf_program_add(arguments, rules->ipv4 ? pasta_options4 : only6);
    sf_program_add(arguments, rules->ipv6 ? pasta_options6 : only4);
    sf_program_add(arguments, command);
    APR_ARRAY_PUSH(arguments, const char *) = NULL;
    return (const char *const *)arguments->elts;
}

/* Sends the rules to the first process. They fit into the pipe: it is empty, and as large as they are. Returns whether that
 * succeeded; of a process that has ended, the end of its output tells. */
static int send_rules(sf_network *network)
{
    const sf_egress_rules *rules = network->networks->rules;
    const int input = network->process.input;
    apr_pool_t *pool;
    const char *text;
    size_t length;
    int is_sent;

    apr_pool_create(&pool, network->pool);
    text = apr_psprintf(pool, "%" APR_SIZE_T_FMT "\n%s", strlen(rules->text), rules->text);
    length = strlen(text);
    is_sent = (length <= PIPE_SIZE || fcntl(input, F_SETPIPE_SZ, (int)length) >= (int)length)
              && (write(input, text, length) == (ssize_t)length || errno == EPIPE);
    apr_pool_destroy(pool);
    network->rules_version = rules->version;
    network->deadline = sf_clock_now() + PATIENCE;
    return is_sent;
}

static apr_status_t start(sf_network *network)
{
    const sf_sandbox_program program
        = { .arguments = pasta_arguments(network->networks, network->pool),
            .directory = "/",
            .errors_to_output = 1,
            .processor_seconds = SF_PROGRAM_NO_LIMIT,
            .data_bytes = (apr_size_t)-1 };

    return sf_sandbox_start(network->pool, &program, &network->process);
}


/* Its end ------------------------------------------------------------------------------------- */

static void close_namespace(int *descriptor)
{
    if (*descriptor != CLOSED) {
        close(*descriptor);
        *descriptor = CLOSED;
    }
}

static void ignore_output(sf_network *network)
{
    if (network->output.ready) {
        sf_loop_remove(network->networks->loop, &network->output);
        network->output.ready = NULL;
    }
}

/* Ends the processes of a network. Isolates that are in its namespaces keep these, and reach nothing any more. */
static apr_status_t end(void *data)
{
    sf_network *network = data;
    apr_hash_t *active = network->networks->active;

    close_namespace(&network->user_namespace);
    close_namespace(&network->network_namespace);
    ignore_output(network);
    sf_sandbox_end(&network->process);
    if (apr_hash_get(active, network->environment, APR_HASH_KEY_STRING) == network) {
        apr_hash_set(active, network->environment, APR_HASH_KEY_STRING, NULL);
    }
    return APR_SUCCESS;
}


/* Reading ------------------------------------------------------------------------------------- */

/* Returns the number that the machine knows a process by, which has printed its number as it sees it. A newer pasta gives its
 * command a /proc of a namespace of processes, where the command is 1; on the machine it is the child of pasta. Returns 0 where
 * that cannot be read. */
static long number_on_machine(const sf_network *network, const char *printed)
{
    const int pasta = network->process.pid;
    const char *path = apr_psprintf(network->pool, "/proc/%d/task/%d/children", pasta, pasta);
    long number = strtol(printed, NULL, 10);
    FILE *children;

    if (number != 1) {
        return number;
    }
    children = fopen(path, "re");
    if (!children || fscanf(children, "%ld", &number) != 1) {
        number = 0;
    }
    if (children) {
        (void)fclose(children);
    }
    return number;
}

static int open_namespace(apr_pool_t *pool, long process, const char *name)
{
    const char *path = apr_psprintf(pool, "/proc/%ld/ns/%s", process, name);

    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Opens the namespaces. If the process had ended, its number could be another's now: its output would have ended, too. Returns
 * whether that succeeded. */
static int open_namespaces(sf_network *network, const char *process)
{
    struct pollfd output = { network->process.output, 0, 0 };
    const long number = number_on_machine(network, process);

    network->user_namespace = open_namespace(network->pool, number, "user");
    network->network_namespace = open_namespace(network->pool, number, "net");
    return network->user_namespace != CLOSED && network->network_namespace != CLOSED
           && poll(&output, 1, 0) == 0;
}

/* Sets another state, and tells the listener, which may end the network. */
static void change(sf_network *network, sf_network_state state)
{
    const sf_network_listener *listener = &network->networks->listener;
    const sf_network_state before = network->state;

    network->state = state;
    if (state == SF_NETWORK_FAILED) {
        ignore_output(network);
        sf_sandbox_kill(&network->process);
    }
    if (listener->changed) {
        listener->changed(listener->data, network, before);
    }
}

/* Has nft read the present rules, if it has read older ones; a network with the present rules is ready. Called for a
 * network with open namespaces. May end the network. */
static void settle(sf_network *network)
{
    if (network->is_updating) {
        return;
    }
    if (network->rules_version != network->networks->rules->version) {
        network->is_updating = 1;
        if (!send_rules(network)) {
            change(network, SF_NETWORK_FAILED);
        }
    }
    else if (network->state == SF_NETWORK_STARTING) {
        change(network, SF_NETWORK_READY);
    }
}

static int is_number(const char *line)
{
    return *line && line[strspn(line, "0123456789")] == '\0';
}

/* Reads a line of the programs. pasta may complain about the system's log. Returns whether the network has not failed. */
static int take_line(sf_network *network, const char *line)
{
    if (network->user_namespace == CLOSED && is_number(line)) {
        *network->message = '\0';
        return open_namespaces(network, line);
    }
    if (network->is_updating && strcmp(line, APPLIED) == 0) {
        *network->message = '\0';
        network->is_updating = 0;
    }
    else if (!*network->message && !strstr(line, "to syslog")) {
        memcpy(network->message, line, strlen(line) + 1);
    }
    return 1;
}

/* Takes the whole lines that were read, and the beginning of one that is too long. Returns whether the network has not failed. */
static int take_lines(sf_network *network)
{
    char *newline;
    int is_well = 1;

    while (is_well
           && ((newline = memchr(network->line, '\n', network->length)) != NULL
               || network->length == OUTPUT_SIZE - 1)) {
        char *end = newline ? newline : network->line + network->length;
        const size_t taken = (size_t)(end - network->line) + (newline ? 1 : 0);

        *end = '\0';
        is_well = take_line(network, network->line);
        network->length -= taken;
        memmove(network->line, network->line + taken, network->length);
    }
    return is_well;
}

/* The programs have said something, or have ended. May end the network. */
static void output_is_ready(void *data, unsigned int events)
{
    sf_network *network = data;
    const ssize_t got = read(network->process.output, network->line + network->length,
                             OUTPUT_SIZE - 1 - network->length);

    (void)events;
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    network->length += got > 0 ? (size_t)got : 0;
    if (!take_lines(network) || got <= 0) {
        change(network, SF_NETWORK_FAILED);
    }
    else if (network->user_namespace != CLOSED) {
        settle(network);
    }
}

sf_network_state sf_network_state_of(const sf_network *network)
{
    return network->state;
}

const char *sf_network_environment(const sf_network *network)
{
    return network->environment;
}

const char *sf_network_failure(const sf_network *network)
{
    const char *const *path = network->networks->path;

    if (!network->is_late) {
        return *network->message ? network->message
                                 : apr_pstrcat(network->pool, path[PASTA], " has ended", NULL);
    }
    return network->is_updating
               ? apr_pstrcat(network->pool, path[NFT], " did not end in time", NULL)
               : apr_pstrcat(network->pool, path[PASTA], " was not ready in time", NULL);
}

const char *sf_network_wait(sf_network *network)
{
    sf_networks *networks = network->networks;
    struct pollfd changes = { sf_networks_descriptor(networks), POLLIN, 0 };

    while (network->state == SF_NETWORK_STARTING) {
        poll(&changes, 1, 100);
        (void)sf_networks_read(networks);
        sf_networks_tick(networks, sf_clock_now());
    }
    return network->state == SF_NETWORK_READY ? NULL : sf_network_failure(network);
}


/* One network --------------------------------------------------------------------------------- */

static apr_status_t watch_output(sf_network *network)
{
    network->output.fd = network->process.output;
    network->output.ready = output_is_ready;
    network->output.data = network;
    return sf_loop_add(network->networks->loop, &network->output, EPOLLIN);
}

static const char *make(sf_networks *networks, const char *environment, sf_network **network)
{
    apr_pool_t *pool;
    sf_network *made;
    apr_status_t rv;

    apr_pool_create(&pool, networks->pool);
    made = apr_pcalloc(pool, sizeof(*made));
    made->networks = networks;
    made->pool = pool;
    made->environment = apr_pstrdup(pool, environment);
    made->users = 1;
    made->user_namespace = CLOSED;
    made->network_namespace = CLOSED;
    rv = start(made);
    if (rv != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return "pasta cannot be started";
    }
    apr_pool_cleanup_register(pool, made, end, apr_pool_cleanup_null);
    rv = watch_output(made);
    if (rv != APR_SUCCESS || !send_rules(made)) {
        apr_pool_destroy(pool);
        return "pasta cannot be watched";
    }
    apr_hash_set(networks->active, made->environment, APR_HASH_KEY_STRING, made);
    *network = made;
    return NULL;
}

const char *sf_network_hold(sf_networks *networks, const char *environment, sf_network **network)
{
    sf_network *found = apr_hash_get(networks->active, environment, APR_HASH_KEY_STRING);

    if (found && found->state != SF_NETWORK_FAILED) {
        found->users++;
        *network = found;
        return NULL;
    }
    return make(networks, environment, network);
}

const char *sf_networks_ready(sf_networks *networks, const char *environment, sf_network **network)
{
    const char *message;

    *network = NULL;
    if (!networks) {
        return NULL;
    }
    message = sf_network_hold(networks, environment, network);
    return message ? message : sf_network_wait(*network);
}

void sf_network_drop(sf_network *network)
{
    if (--network->users == 0) {
        apr_pool_destroy(network->pool);
    }
}

void sf_network_enter(const sf_network *network, apr_array_header_t *arguments)
{
    const char *const words[] = { network->networks->path[NSENTER],
                                  "--preserve-credentials",
                                  apr_psprintf(arguments->pool, "--user=/proc/%d/fd/%d",
                                               (int)getpid(), network->user_namespace),
                                  apr_psprintf(arguments->pool, "--net=/proc/%d/fd/%d",
                                               (int)getpid(), network->network_namespace),
                                  "--",
                                  NULL };

    sf_program_add(arguments, words);
}


/* All networks -------------------------------------------------------------------------------- */

/* The machine's addresses may have changed: has nft refuse the new ones in all networks. */
static void addresses_have_changed(void *data, unsigned int events)
{
    sf_networks *networks = data;
    apr_hash_index_t *index;

    (void)events;
    sf_host_watch_read(networks->addresses.fd);
    networks->message = sf_egress_rules_update(networks->rules);
    for (index = apr_hash_first(NULL, networks->active); index; index = apr_hash_next(index)) {
        sf_network *network = apr_hash_this_val(index);

        if (network->state == SF_NETWORK_READY) { /* one that starts is settled then */
            settle(network);
        }
    }
}

static const char *watch_addresses(sf_networks *networks)
{
    networks->addresses.fd = sf_host_watch(networks->pool);
    networks->addresses.ready = addresses_have_changed;
    networks->addresses.data = networks;
    return networks->addresses.fd >= 0
                   && sf_loop_add(networks->loop, &networks->addresses, EPOLLIN) == APR_SUCCESS
               ? NULL
               : apr_psprintf(networks->pool, "netlink: %s", strerror(errno));
}

const char *sf_networks_make(apr_pool_t *pool, const apr_array_header_t *allowed,
                             sf_networks **networks)
{
    sf_networks *made = apr_pcalloc(pool, sizeof(*made));
    const char *message = NULL;
    int i;

    for (i = 0; i < PROGRAMS && !message; i++) {
        message = sf_program_find(pool, &programs[i], &made->path[i]);
    }
    if (message) {
        return message;
    }
    made->pool = pool;
    made->active = apr_hash_make(pool);
    if (sf_loop_make(pool, &made->loop) != APR_SUCCESS) {
        return "the networks cannot be watched";
    }
    message = watch_addresses(made);
    *networks = made;
    return message ? message : sf_egress_rules_make(pool, allowed, &made->rules);
}

const sf_egress_rules *sf_networks_rules(const sf_networks *networks)
{
    return networks->rules;
}

void sf_networks_listen(sf_networks *networks, const sf_network_listener *listener)
{
    networks->listener = *listener;
}

int sf_networks_descriptor(const sf_networks *networks)
{
    return sf_loop_descriptor(networks->loop);
}

const char *sf_networks_read(sf_networks *networks)
{
    networks->message = NULL;
    sf_loop_run_once(networks->loop, 0);
    return networks->message;
}

void sf_networks_tick(sf_networks *networks, apr_time_t now)
{
    apr_hash_index_t *index;

    for (index = apr_hash_first(NULL, networks->active); index; index = apr_hash_next(index)) {
        sf_network *network = apr_hash_this_val(index);

        if ((network->state == SF_NETWORK_STARTING || network->is_updating)
            && network->state != SF_NETWORK_FAILED && network->deadline <= now) {
            network->is_late = 1;
            change(network, SF_NETWORK_FAILED);
        }
    }
}
