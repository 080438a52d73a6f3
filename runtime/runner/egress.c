#include "runtime/runner/egress.h"
#include "core/clock.h"
#include "core/process/sandbox.h"
#include "runtime/runner/host_address.h"
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
    int watch;          /* a socket, see sf_host_watch() */
    apr_hash_t *active; /* networks by Environment */
};

struct sf_network {
    sf_networks *networks;
    apr_pool_t *pool;
    const char *environment;
    int users;
    sf_network_state state;
    apr_time_t deadline; /* of its start */
    int is_late;         /* was not ready at the deadline */
    sf_sandbox process;
    char output
        [OUTPUT_SIZE]; /* of the programs: messages, or at last the number of the shell's process */
    size_t length;
    unsigned int rules_version; /* of the rules that nft has read, or an older one */
    int user_namespace;         /* a descriptor, as soon as the network is ready */
    int network_namespace;
};


/* The start ----------------------------------------------------------------------------------- */

/* The first process in the namespaces. It prints its number as /proc has it. It ends when the runner closes its input, or is
 * gone; pasta ends with it. */
static const char script[]
    = "echo \"$2\" | \"$1\" -f - && echo \"$4\" | \"$3\" -batch -"
      " && read process rest </proc/self/stat && echo \"$process\" && read end";

/* Replaces the rules of a network. */
static const char update_script[] = "echo \"$2\" | \"$1\" -f -";

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
        = { "--",        "/bin/sh",          "-c",         script, "sh", networks->path[NFT],
            rules->text, networks->path[IP], rules->links, NULL };
    apr_array_header_t *arguments = apr_array_make(pool, 48, sizeof(const char *));

    APR_ARRAY_PUSH(arguments, const char *) = networks->path[PASTA];
    sf_program_add(arguments, pasta_options);
    sf_program_add(arguments, rules->ipv4 ? pasta_options4 : only6);
    sf_program_add(arguments, rules->ipv6 ? pasta_options6 : only4);
    sf_program_add(arguments, command);
    APR_ARRAY_PUSH(arguments, const char *) = NULL;
    return (const char *const *)arguments->elts;
}

static apr_status_t start(sf_network *network)
{
    const sf_sandbox_program program
        = { .arguments = pasta_arguments(network->networks, network->pool),
            .directory = "/",
            .errors_to_output = 1,
            .processor_seconds = SF_PROGRAM_NO_LIMIT,
            .data_bytes = (apr_size_t)-1 };

    network->rules_version = network->networks->rules->version;
    network->deadline = sf_clock_now() + PATIENCE;
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

/* Ends the processes of a network. Isolates that are in its namespaces keep these, and reach nothing any more. */
static apr_status_t end(void *data)
{
    sf_network *network = data;
    apr_hash_t *active = network->networks->active;

    close_namespace(&network->user_namespace);
    close_namespace(&network->network_namespace);
    sf_sandbox_end(&network->process);
    if (apr_hash_get(active, network->environment, APR_HASH_KEY_STRING) == network) {
        apr_hash_set(active, network->environment, APR_HASH_KEY_STRING, NULL);
    }
    return APR_SUCCESS;
}


/* Reading ------------------------------------------------------------------------------------- */

/* Returns the start of the last whole line that consists of digits, or NULL. pasta may complain about the system's log before
 * it. */
static const char *find_process(const sf_network *network)
{
    const char *line = network->output;
    const char *newline;

    while ((newline = strchr(line, '\n')) != NULL) {
        const size_t digits = strspn(line, "0123456789");

        if (digits > 0 && line + digits == newline) {
            return line;
        }
        line = newline + 1;
    }
    return NULL;
}

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

/* Opens the namespaces. If the process had ended, its number could be another's now: the next read would tell. */
static sf_network_state open_namespaces(sf_network *network, const char *process)
{
    struct pollfd output = { network->process.output, POLLIN, 0 };
    const long number = number_on_machine(network, process);

    network->user_namespace = open_namespace(network->pool, number, "user");
    network->network_namespace = open_namespace(network->pool, number, "net");
    return network->user_namespace != CLOSED && network->network_namespace != CLOSED
                   && poll(&output, 1, 0) == 0
               ? SF_NETWORK_READY
               : SF_NETWORK_FAILED;
}

static const char *update(sf_network *network);

/* Reads the programs' messages, of which the first are kept. Returns whether the programs still run. */
static int read_output(sf_network *network)
{
    const size_t room = OUTPUT_SIZE - 1 - network->length;
    char rest[OUTPUT_SIZE];
    const ssize_t got = room
                            ? read(network->process.output, network->output + network->length, room)
                            : read(network->process.output, rest, sizeof(rest));

    network->length += got > 0 && room ? (size_t)got : 0;
    network->output[network->length] = '\0';
    return got > 0 || (got < 0 && errno == EAGAIN);
}

sf_network_state sf_network_read(sf_network *network)
{
    const char *process;

    if (network->state == SF_NETWORK_FAILED) {
        return network->state;
    }
    if (!read_output(network)) {
        network->state = SF_NETWORK_FAILED;
        return network->state;
    }
    process = network->state == SF_NETWORK_STARTING ? find_process(network) : NULL;
    if (process) {
        network->state = open_namespaces(network, process);
        (void)update(network);
    }
    else if (network->state == SF_NETWORK_STARTING && sf_clock_now() >= network->deadline) {
        network->state = SF_NETWORK_FAILED;
        network->is_late = 1;
    }
    return network->state;
}

int sf_network_is_starting(const sf_network *network)
{
    return network->state == SF_NETWORK_STARTING;
}

const char *sf_network_failure(const sf_network *network)
{
    char *text = apr_pstrdup(network->pool, network->output);
    char *last = NULL;
    const char *line;

    for (line = apr_strtok(text, "\n", &last); line; line = apr_strtok(NULL, "\n", &last)) {
        if (!strstr(line, "to syslog")) {
            return line;
        }
    }
    return apr_pstrcat(network->pool, network->networks->path[PASTA],
                       network->is_late ? " was not ready in time" : " has ended", NULL);
}

const char *sf_network_wait(sf_network *network)
{
    struct pollfd output = { network->process.output, POLLIN, 0 };

    while (sf_network_read(network) == SF_NETWORK_STARTING) {
        poll(&output, 1, 100);
    }
    return network->state == SF_NETWORK_READY ? NULL : sf_network_failure(network);
}


/* One network --------------------------------------------------------------------------------- */

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
    apr_hash_set(networks->active, made->environment, APR_HASH_KEY_STRING, made);
    *network = made;
    return NULL;
}

const char *sf_network_hold(sf_networks *networks, const char *environment, sf_network **network)
{
    sf_network *found = apr_hash_get(networks->active, environment, APR_HASH_KEY_STRING);

    /* the end of a start is read for the users that wait for it, who are told by the descriptor */
    if (found
        && (found->state == SF_NETWORK_STARTING || sf_network_read(found) == SF_NETWORK_READY)) {
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

int sf_network_descriptor(const sf_network *network)
{
    return network->process.output;
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

/* Has nft read the rules again, if they are newer than those of the network. Fails the network if that fails. */
static const char *update(sf_network *network)
{
    const sf_networks *networks = network->networks;
    const char *const nft[] = {
        "/bin/sh", "-c", update_script, "sh", networks->path[NFT], networks->rules->text, NULL
    };
    apr_array_header_t *arguments;
    apr_pool_t *pool;
    const char *message;

    if (network->state != SF_NETWORK_READY || network->rules_version == networks->rules->version) {
        return NULL;
    }
    apr_pool_create(&pool, network->pool);
    arguments = apr_array_make(pool, 12, sizeof(const char *));
    sf_network_enter(network, arguments);
    sf_program_add(arguments, nft);
    APR_ARRAY_PUSH(arguments, const char *) = NULL;
    message = sf_program_run(pool, (const char *const *)arguments->elts, NULL, 0);
    network->rules_version = networks->rules->version;
    if (message) {
        network->state = SF_NETWORK_FAILED;
        sf_sandbox_kill(&network->process);
        return message; /* of a pool that ends with the network */
    }
    apr_pool_destroy(pool);
    return NULL;
}


/* All networks -------------------------------------------------------------------------------- */

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
    made->watch = sf_host_watch(pool);
    if (made->watch < 0) {
        return apr_psprintf(pool, "netlink: %s", strerror(errno));
    }
    *networks = made;
    return sf_egress_rules_make(pool, allowed, &made->rules);
}

const sf_egress_rules *sf_networks_rules(const sf_networks *networks)
{
    return networks->rules;
}

int sf_networks_descriptor(const sf_networks *networks)
{
    return networks->watch;
}

const char *sf_networks_refresh(sf_networks *networks)
{
    apr_hash_index_t *index;
    const char *first;

    sf_host_watch_read(networks->watch);
    first = sf_egress_rules_update(networks->rules);
    for (index = apr_hash_first(NULL, networks->active); index; index = apr_hash_next(index)) {
        const char *message = update(apr_hash_this_val(index));

        first = first ? first : message;
    }
    return first;
}
