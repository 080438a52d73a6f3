#include "runtime/runner/isolate.h"

#include "core/clock.h"
#include "core/process/sandbox.h"
#include "runtime/protocol/protocol.h"
#include "runtime/runner/command.h"
#include "runtime/runner/log.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Microseconds in which an isolate says READY. */
#define START_LIMIT 15000000

/* Microseconds after which a start that waits for its network is stalled. A network takes a tenth of a second. */
#define STALL_LIMIT 500000

/* Of the isolate's output: bytes that are kept for the cause of its death, and that are logged. */
#define TAIL_SIZE 2048
#define LOGGED_MAX 8192

#define READY_BYTES (SF_FRAME_LENGTH + SF_FRAME_HEADER)
#define CLOSED (-1)

/* Why an isolate ends with its network. */
#define LOST_NETWORK "its network has ended"

/* Times the time limits of all calls of an isolate. */
#define PROCESSOR_TIMES 2

typedef struct {
    sf_isolate *isolate;
    sf_isolate_parts *parts;
    sf_cage_isolate surroundings;
    sf_sandbox sandbox;
    int has_process;
    const char *failure; /* why there is no process; or NULL */
    sf_watch line;
    sf_watch output;
    int is_line_watched;
    sf_network *network;    /* NULL unless egress is filtered */
    int is_without_network; /* waits for it */
    unsigned int processor_seconds;
    int has_cgroup;
    int is_out_of_memory;     /* a process was killed for its memory */
    char tail[TAIL_SIZE + 1]; /* the last output */
    size_t tail_length;
    size_t logged;
} process;


/* Output -------------------------------------------------------------------------------------- */

/* Logs the lines of new output, until an isolate has said too much. */
static void log_output(process *own, char *bytes)
{
    char *rest = NULL;
    const char *line;

    for (line = apr_strtok(bytes, "\n", &rest); line; line = apr_strtok(NULL, "\n", &rest)) {
        own->logged += strlen(line) + 1;
        if (own->logged > LOGGED_MAX) {
            return;
        }
        sf_runner_log(SF_RUNNER_INFO, "isolate %u of %s: %.500s", own->isolate->number,
                      own->isolate->group->environment->sid, line);
    }
}

/* Keeps the end of the output. */
static void keep_tail(process *own, const char *bytes, size_t length)
{
    if (length >= TAIL_SIZE) {
        bytes += length - TAIL_SIZE;
        length = TAIL_SIZE;
    }
    if (own->tail_length + length > TAIL_SIZE) {
        const size_t excess = own->tail_length + length - TAIL_SIZE;

        memmove(own->tail, own->tail + excess, own->tail_length - excess);
        own->tail_length -= excess;
    }
    memcpy(own->tail + own->tail_length, bytes, length);
    own->tail_length += length;
    own->tail[own->tail_length] = '\0';
}

/* Reads some of the output. Returns whether there was any. */
static int read_output(process *own)
{
    char bytes[4096];
    const ssize_t length = read(own->output.fd, bytes, sizeof(bytes) - 1);
    ssize_t i;

    if (length <= 0) {
        if (length == 0 || errno != EAGAIN) {
            sf_loop_remove(own->parts->loop, &own->output);
        }
        return 0;
    }
    for (i = 0; i < length; i++) {
        if (bytes[i] == '\0') {
            bytes[i] = '?';
        }
    }
    bytes[length] = '\0';
    keep_tail(own, bytes, (size_t)length);
    log_output(own, bytes);
    return 1;
}

static void output_is_ready(void *data, unsigned int events)
{
    (void)events;
    read_output(data);
}


/* The line ------------------------------------------------------------------------------------ */

static void watch_line(process *own)
{
    if (!own->is_line_watched) {
        own->is_line_watched = sf_loop_add(own->parts->loop, &own->line, EPOLLIN) == APR_SUCCESS;
    }
}

static void ignore_line(process *own)
{
    if (own->is_line_watched) {
        sf_loop_remove(own->parts->loop, &own->line);
        own->is_line_watched = 0;
    }
}

/* Receives READY, and nothing else. Returns NULL if it came, or why the isolate is to end. */
static const char *receive_ready(const process *own)
{
    static const unsigned char ready[READY_BYTES]
        = { 0, 0, 0, SF_FRAME_HEADER, SF_FRAME_READY, 0, 0, 0, 0 };
    unsigned char bytes[READY_BYTES + 1];
    const ssize_t length = recv(own->line.fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (length == 0) {
        return "it has closed its line";
    }
    return length == READY_BYTES && memcmp(bytes, ready, READY_BYTES) == 0
               ? NULL
               : "other bytes than READY";
}

/* The line has bytes, or its end: READY of an isolate that starts. Nothing may come from an idle one. */
static void line_is_ready(void *data, unsigned int events)
{
    process *own = data;
    sf_isolate *isolate = own->isolate;
    sf_pool *pool = own->parts->pool;
    const char *message;

    (void)events;
    message = isolate->state == SF_ISOLATE_STARTING ? receive_ready(own)
                                                    : "bytes on an idle line, or its end";
    if (!message) {
        sf_pool_ready(pool, isolate, sf_clock_now());
        return;
    }
    ignore_line(own);
    sf_pool_end(pool, isolate, message, sf_clock_now());
}

int sf_isolate_lend(const sf_isolate *isolate)
{
    process *own = isolate->process;

    ignore_line(own);
    return own->line.fd;
}

static int has_lost_network(const process *own)
{
    return own->network && sf_network_state_of(own->network) == SF_NETWORK_FAILED;
}

const char *sf_isolate_take_back(const sf_isolate *isolate)
{
    process *own = isolate->process;
    struct pollfd line = { own->line.fd, POLLIN, 0 };

    watch_line(own);
    if (has_lost_network(own)) {
        return LOST_NETWORK;
    }
    return poll(&line, 1, 0) == 0 ? NULL : "bytes on its line";
}


/* The process --------------------------------------------------------------------------------- */

static const char *system_message(apr_pool_t *pool, const char *what, int error)
{
    char text[200];

    return apr_psprintf(pool, "%s: %s", what, apr_strerror(error, text, sizeof(text)));
}

static apr_status_t close_line(void *data)
{
    process *own = data;

    ignore_line(own);
    close(own->line.fd);
    return APR_SUCCESS;
}

/* Makes the line. `far` is the isolate's end. */
static const char *make_line(process *own, int *far)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return system_message(own->isolate->pool, "socketpair", errno);
    }
    own->line.fd = ends[0];
    own->line.ready = line_is_ready;
    own->line.data = own;
    *far = ends[1];
    apr_pool_cleanup_register(own->isolate->pool, own, close_line, apr_pool_cleanup_null);
    return NULL;
}

/* Removes the cgroup, if there is one, and notes whether the kernel has killed a process in it. */
static void remove_cgroup(process *own)
{
    if (own->has_cgroup) {
        own->is_out_of_memory = sf_cgroups_remove(own->parts->cgroups, own->isolate->number);
        own->has_cgroup = 0;
    }
}

static apr_status_t release_surroundings(void *data)
{
    process *own = data;

    remove_cgroup(own);
    if (own->network) {
        sf_network_drop(own->network);
    }
    return APR_SUCCESS;
}

static const char *make_cgroup(process *own)
{
    sf_cage_isolate *isolate = &own->surroundings;
    const char *message = NULL;

    if (own->parts->cgroups) {
        message = sf_cgroups_add(own->isolate->pool, own->parts->cgroups, own->isolate->number,
                                 isolate->memory, &isolate->group);
        own->has_cgroup = message == NULL;
    }
    return message;
}

static unsigned int processor_seconds(const sf_demand *demand)
{
    const apr_int64_t seconds = (apr_int64_t)PROCESSOR_TIMES * demand->timeout * demand->calls;

    return seconds < INT_MAX ? (unsigned int)seconds : INT_MAX;
}

/* Starts the program. The descriptors are those of the line and the filter. */
static const char *start_program(process *own, const int *descriptors)
{
    apr_pool_t *pool = own->isolate->pool;
    const sf_command_request request
        = { .cage = own->parts->cage,
            .isolate = &own->surroundings,
            .descriptors = descriptors,
            .processor_seconds = processor_seconds(&own->isolate->demand) };
    sf_sandbox_program program = { 0 };
    apr_status_t rv;

    sf_command_make(pool, &request, &program);
    own->processor_seconds = program.processor_seconds;
    rv = sf_sandbox_start(pool, &program, &own->sandbox);
    if (rv != APR_SUCCESS) {
        return system_message(pool, "the process cannot be started", rv);
    }
    own->has_process = 1;
    sf_sandbox_close_input(&own->sandbox);
    own->output.fd = own->sandbox.output;
    own->output.ready = output_is_ready;
    own->output.data = own;
    sf_loop_add(own->parts->loop, &own->output, EPOLLIN);
    watch_line(own);
    return NULL;
}

/* Starts the process, whose network is ready. Returns NULL, or why it could not be started. */
static const char *start_process(process *own)
{
    int descriptors[] = { CLOSED, CLOSED };
    const char *message = make_cgroup(own);

    message = message ? message : make_line(own, &descriptors[0]);
    if (message) {
        return message;
    }
    descriptors[1] = sf_cage_filter(own->parts->cage);
    message = start_program(own, descriptors);
    close(descriptors[0]);
    close(descriptors[1]);
    return message;
}


/* The start ----------------------------------------------------------------------------------- */

/* Ends an isolate that has no process. `cause` is a constant. */
static void fail(process *own, const char *cause, const char *message)
{
    own->failure = apr_pstrdup(own->isolate->pool, message);
    sf_pool_end(own->parts->pool, own->isolate, cause, sf_clock_now());
}

/* Starts the process of an isolate that waits for its network, or ends the isolate, if the start of the network has ended. */
static void go_on(process *own)
{
    const sf_network_state state = sf_network_state_of(own->network);
    const char *message;

    if (state == SF_NETWORK_STARTING) {
        return;
    }
    own->is_without_network = 0;
    sf_pool_resume(own->parts->pool, own->isolate);
    if (state == SF_NETWORK_FAILED) {
        fail(own, "no network", sf_network_failure(own->network));
        return;
    }
    message = start_process(own);
    if (message) {
        fail(own, "no process", message);
    }
}

void sf_isolates_network_changed(sf_pool *pool, const sf_network *network)
{
    apr_hash_index_t *i;

    for (i = apr_hash_first(NULL, pool->isolates); i; i = apr_hash_next(i)) {
        sf_isolate *isolate = apr_hash_this_val(i);
        process *own = isolate->process;

        if (own->network != network) {
            continue;
        }
        if (own->is_without_network) {
            go_on(own);
        }
        else if (has_lost_network(own) && isolate->state != SF_ISOLATE_LEASED) {
            sf_pool_end(pool, isolate, LOST_NETWORK, sf_clock_now());
        }
    }
}

/* Makes the network of the Environment, or joins it. Returns NULL, or a message. */
static const char *hold_network(process *own)
{
    sf_networks *networks = sf_cage_networks(own->parts->cage);
    const char *message;

    if (!networks) {
        return NULL;
    }
    message = sf_network_hold(networks, own->isolate->group->environment->sid, &own->network);
    own->surroundings.network = own->network;
    return message;
}

const char *sf_isolate_start(sf_isolate_parts *parts, sf_isolate *isolate, const char *folder)
{
    process *own = apr_pcalloc(isolate->pool, sizeof(*own));
    const char *message;

    own->isolate = isolate;
    own->parts = parts;
    own->surroundings.node = sf_runner_config_runtime(parts->config, isolate->demand.runtime)->node;
    own->surroundings.build = folder;
    own->surroundings.memory = (apr_size_t)isolate->demand.memory;
    isolate->process = own;
    message = hold_network(own);
    apr_pool_cleanup_register(isolate->pool, own, release_surroundings, apr_pool_cleanup_null);
    if (message) {
        return message;
    }
    own->is_without_network
        = own->network && sf_network_state_of(own->network) == SF_NETWORK_STARTING;
    return own->is_without_network ? NULL : start_process(own);
}

void sf_isolate_kill(const sf_isolate *isolate)
{
    process *own = isolate->process;

    ignore_line(own);
    own->is_without_network = 0;
    if (own->has_process) {
        sf_sandbox_kill(&own->sandbox);
    }
    else {
        own->parts->is_reap_due = 1;
    }
}

void sf_isolate_check_start(sf_pool *pool, sf_isolate *isolate, apr_time_t now)
{
    process *own = isolate->process;

    if (isolate->state == SF_ISOLATE_STARTING && isolate->since + START_LIMIT <= now) {
        sf_pool_end(pool, isolate, "not ready in time", now);
    }
    if (own->is_without_network && isolate->since + STALL_LIMIT <= now) {
        sf_pool_stall(pool, isolate);
    }
}


/* Death --------------------------------------------------------------------------------------- */

/* Whether V8's or node's last words are about memory. */
static int has_no_memory(const process *own)
{
    return strstr(own->tail, "heap out of memory") != NULL
           || strstr(own->tail, "process out of memory") != NULL
           || strstr(own->tail, "std::bad_alloc") != NULL;
}

static int used_its_processor_time(const process *own, int signal, const struct rusage *usage)
{
    return signal == SIGXCPU
           || (signal == SIGKILL
               && usage->ru_utime.tv_sec + usage->ru_stime.tv_sec >= own->processor_seconds);
}

/* Returns how the process ended. One that ended by itself may have been killed besides. */
static const char *cause_of(const process *own, int status, const struct rusage *usage)
{
    const int signal = sf_cage_signal(own->parts->cage, status);

    if (own->isolate->cause && signal == SIGKILL) {
        return own->isolate->cause;
    }
    if (own->is_out_of_memory || (signal != 0 && has_no_memory(own))) {
        return "memory";
    }
    if (signal == 0) {
        return apr_psprintf(own->isolate->pool, "exit %d", WEXITSTATUS(status));
    }
    return used_its_processor_time(own, signal, usage)
               ? "processor time"
               : apr_psprintf(own->isolate->pool, "signal %d", signal);
}

/* Returns the last line of the output that is not empty. */
static const char *last_line(process *own)
{
    char *rest = NULL;
    const char *line;
    const char *last = "";

    for (line = apr_strtok(own->tail, "\n", &rest); line; line = apr_strtok(NULL, "\n", &rest)) {
        last = line;
    }
    return last;
}

/* Describes the end of an isolate that has no process. Returns whether it has ended. */
static int reap_nothing(const process *own, sf_isolate_end *end)
{
    end->cause = own->isolate->cause;
    end->detail = own->failure ? own->failure : "";
    return own->isolate->state == SF_ISOLATE_ENDING;
}

int sf_isolate_reap(sf_isolate *isolate, sf_isolate_end *end)
{
    process *own = isolate->process;
    siginfo_t ended = { 0 };
    struct rusage usage;
    int status;

    if (!own->has_process) {
        return reap_nothing(own, end);
    }
    waitid(P_PID, (id_t)own->sandbox.pid, &ended, WEXITED | WNOHANG | WNOWAIT);
    if (ended.si_pid != own->sandbox.pid) {
        return 0;
    }
    sf_sandbox_kill(&own->sandbox); /* what it has started, while its number is its own */
    if (wait4(own->sandbox.pid, &status, 0, &usage) < 0) {
        return 0;
    }
    while (read_output(own)) {
    }
    remove_cgroup(own);
    end->cause = cause_of(own, status, &usage);
    end->detail = last_line(own);
    sf_loop_remove(own->parts->loop, &own->output);
    sf_sandbox_release(&own->sandbox);
    return 1;
}
