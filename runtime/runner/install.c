#include "runtime/runner/install.h"

#include "core/clock.h"
#include "core/json.h"
#include "core/process/sandbox.h"
#include "runtime/runner/demand.h"
#include "runtime/runner/log.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* How many run at a time: each takes a processor core for some seconds. */
#define RUNNING_MAX 2

/* Limits of a process: memory that npm needs for hundreds of packages, of which node 24 reserves more than 1 GiB for code,
 * and processor time in multiples of its time limit. */
#define DATA_BYTES (2560LL * 1024 * 1024)
#define PROCESSOR_TIMES 2

/* Limits of the installed packages. httpd chooses the limit of their bytes. */
#define MODULES_MAX 100
#define FILES_MAX 30000

/* What a file of npm's own may have beside the packages' limit: a lock file, an archive of many small files. */
#define OWN_FILE_BYTES (64LL * 1024 * 1024)

#define SECONDS_MAX 3600
#define BYTES_MAX (1024LL * 1024 * 1024)
#define RESULT_MAX 65536
#define OUTPUT_MAX 1000
#define FOLDER_MODE 0700

typedef struct sf_install {
    APR_RING_ENTRY(sf_install) link;
    apr_pool_t *pool;
    sf_installs *installs;
    sf_connection *child; /* NULL: its connection has ended */
    apr_uint32_t number;
    const sf_runtime *runtime;
    json_object *dependencies;
    apr_int64_t seconds;
    apr_int64_t bytes;
    const char *folder;
    int is_check; /* the registry is asked, and nothing is installed */
    int is_running;
    int is_late;
    apr_time_t deadline;
    sf_sandbox sandbox;
    sf_watch output;
    char text[OUTPUT_MAX + 1]; /* the beginning of the output, for the log */
    size_t text_length;
} sf_install;

APR_RING_HEAD(sf_install_ring, sf_install);

struct sf_installs {
    apr_pool_t *pool;
    sf_installs_parts parts;
    struct sf_install_ring all; /* first come first */
    int running;
    sf_network *network; /* NULL until it is needed, and unless egress is filtered */
};

sf_installs *sf_installs_make(apr_pool_t *pool, const sf_installs_parts *parts)
{
    sf_installs *installs = apr_pcalloc(pool, sizeof(*installs));

    installs->pool = pool;
    installs->parts = *parts;
    APR_RING_INIT(&installs->all, sf_install, link);
    return installs;
}


/* Answers ------------------------------------------------------------------------------------- */

static void send_json(const sf_install *install, sf_control_type type, json_object *object, int fd)
{
    sf_control_message message = { .type = type, .number = install->number, .descriptor = fd };

    message.payload = sf_json_text(object, &message.length);
    sf_connection_send(install->child, &message);
    json_object_put(object);
}

static void refuse(const sf_install *install, const char *reason, const char *detail)
{
    json_object *refusal = json_object_new_object();

    sf_json_add(refusal, "reason", json_object_new_string(reason));
    sf_json_add(refusal, "detail", json_object_new_string(detail));
    send_json(install, SF_CONTROL_REFUSED, refusal, -1);
}

/* Passes a file, opened for reading. Returns whether it is there. */
static int send_file(const sf_install *install, const char *name)
{
    const char *path = apr_pstrcat(install->pool, install->folder, "/", name, NULL);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    json_object *file;
    struct stat found;

    if (fd < 0 || fstat(fd, &found) != 0) {
        return 0;
    }
    file = json_object_new_object();
    sf_json_add(file, "name", json_object_new_string(name));
    sf_json_add(file, "size", json_object_new_int64(found.st_size));
    send_json(install, SF_CONTROL_FILE, file, fd);
    close(fd);
    return 1;
}

/* Returns the result of the process, or NULL where there is none that can be read. */
static json_object *read_result(const sf_install *install)
{
    char text[RESULT_MAX];
    FILE *file = fopen(apr_pstrcat(install->pool, install->folder, "/result.json", NULL), "re");
    size_t length;

    if (!file) {
        return NULL;
    }
    length = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    text[length] = '\0';
    return sf_demand_object(text, length);
}

/* Sends the files and the hash of the result: of no files where nothing was to be installed. */
static void send_result(const sf_install *install, const json_object *result)
{
    json_object *hash = json_object_object_get(result, "sha256");
    json_object *installed;

    if (hash
        && (!send_file(install, "package-lock.json") || !send_file(install, "bundle.tar.zst"))) {
        refuse(install, "install", "the files of the result are missing");
        return;
    }
    installed = json_object_new_object();
    sf_json_add(installed, "sha256", json_object_get(hash));
    send_json(install, SF_CONTROL_INSTALLED, installed, -1);
}

/* Answers for a process that has ended. */
static void answer(const sf_install *install, int status)
{
    json_object *result
        = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? read_result(install) : NULL;
    json_object *failure = json_object_object_get(result, "failure");

    if (install->is_late) {
        refuse(install, install->is_check ? "late" : "dependencies",
               "The packages could not be installed within the limit of time");
    }
    else if (failure) {
        refuse(install, "dependencies", json_object_get_string(failure));
    }
    else if (result) {
        send_result(install, result);
    }
    else {
        refuse(install, "install", *install->text ? install->text : "the process was killed");
    }
    json_object_put(result);
}


/* The process --------------------------------------------------------------------------------- */

/* Keeps the beginning of the output. */
static void output_is_ready(void *data, unsigned int events)
{
    sf_install *install = data;
    char bytes[4096];
    const ssize_t length = read(install->output.fd, bytes, sizeof(bytes));
    size_t kept;

    (void)events;
    if (length <= 0) {
        if (length == 0 || errno != EAGAIN) {
            sf_loop_remove(install->installs->parts.loop, &install->output);
        }
        return;
    }
    kept = OUTPUT_MAX - install->text_length;
    kept = (size_t)length < kept ? (size_t)length : kept;
    memcpy(install->text + install->text_length, bytes, kept);
    install->text_length += kept;
    install->text[install->text_length] = '\0';
}

static json_object *string_or_null(const char *text)
{
    return text ? json_object_new_string(text) : NULL;
}

/* Writes the request of the process into its folder. */
static const char *write_request(const sf_install *install, const sf_cage_command *command)
{
    const sf_runner_config *config = install->installs->parts.config;
    json_object *request = json_object_new_object();
    json_object *limits = json_object_new_object();
    const char *path = apr_pstrcat(install->pool, install->folder, "/request.json", NULL);
    FILE *file;
    int is_written;

    sf_json_add(limits, "modules", json_object_new_int(MODULES_MAX));
    sf_json_add(limits, "files", json_object_new_int(FILES_MAX));
    sf_json_add(limits, "bytes", json_object_new_int64(install->bytes));
    sf_json_add(limits, "seconds", json_object_new_int64(install->seconds));
    sf_json_add(request, "dependencies", json_object_get(install->dependencies));
    sf_json_add(request, "npm", json_object_new_string(config->npm));
    sf_json_add(request, "config", string_or_null(command->npm_config));
    sf_json_add(request, "cache", string_or_null(command->npm_cache));
    sf_json_add(request, "check", json_object_new_boolean(install->is_check));
    sf_json_add(request, "limits", limits);
    file = fopen(path, "we");
    is_written = file && fputs(sf_json_text(request, NULL), file) >= 0;
    is_written = file && fclose(file) == 0 && is_written;
    json_object_put(request);
    return is_written ? NULL : apr_psprintf(install->pool, "%s: %s", path, strerror(errno));
}

/* Holds the network in which packages are fetched, unless it is the machine's. It is made for the first of them, and lasts as
 * long as the runner; one that has failed is replaced. Returns NULL, or a message. */
static const char *hold_network(sf_installs *installs)
{
    sf_networks *networks = sf_cage_networks(installs->parts.cage);

    if (installs->network && sf_network_state_of(installs->network) == SF_NETWORK_FAILED) {
        sf_network_drop(installs->network);
        installs->network = NULL;
    }
    return networks && !installs->network ? sf_network_hold(networks, "install", &installs->network)
                                          : NULL;
}

/* Starts the process. npm is run by the node of the Runtime, which its PATH begins with. */
static const char *start_process(sf_install *install, const sf_cage_command *command)
{
    const int filter = sf_cage_filter(install->installs->parts.cage);
    const int descriptors[] = { filter, filter }; /* the first one stands for a line */
    const sf_sandbox_program program
        = { .name = "serverless-install",
            .arguments = command->arguments,
            .environment = command->environment,
            .directory = install->folder,
            .descriptors = descriptors,
            .descriptor_count = filter < 0 ? 0 : 2,
            .errors_to_output = 1,
            .processor_seconds = (unsigned int)(PROCESSOR_TIMES * install->seconds),
            .data_bytes = (apr_size_t)DATA_BYTES,
            .file_bytes = install->bytes + OWN_FILE_BYTES };
    const apr_status_t rv = sf_sandbox_start(install->pool, &program, &install->sandbox);

    if (filter >= 0) {
        close(filter);
    }
    if (rv != APR_SUCCESS) {
        return apr_psprintf(install->pool, "the process cannot be started: %s", strerror(rv));
    }
    sf_sandbox_close_input(&install->sandbox);
    install->output.fd = install->sandbox.output;
    install->output.ready = output_is_ready;
    install->output.data = install;
    sf_loop_add(install->installs->parts.loop, &install->output, EPOLLIN);
    install->is_running = 1;
    install->installs->running++;
    return NULL;
}

/* Removes an install that has been answered, and its folder. */
static void end(sf_install *install)
{
    sf_installs *installs = install->installs;

    APR_RING_REMOVE(install, link);
    if (install->folder) {
        sf_work *work = sf_work_make(installs->parts.work, sf_work_remove);

        work->from = apr_pstrdup(work->pool, install->folder);
        sf_work_submit(installs->parts.work, work);
    }
    json_object_put(install->dependencies);
    apr_pool_destroy(install->pool);
}

/* Makes the folder and the command, and starts the process. Returns NULL, or why that failed. */
static const char *prepare(sf_install *install)
{
    sf_cage_command command = { .node = install->runtime->node,
                                .folder = install->folder,
                                .network = install->installs->network };
    const char *message;

    if (mkdir(install->folder, FOLDER_MODE) != 0) {
        return apr_psprintf(install->pool, "%s: %s", install->folder, strerror(errno));
    }
    sf_cage_install(install->pool, install->installs->parts.cage, &command);
    message = write_request(install, &command);
    return message ? message : start_process(install, &command);
}

static void start(sf_install *install)
{
    const char *message;

    install->folder = sf_store_temporary(install->installs->parts.store, install->pool);
    install->deadline = sf_clock_now() + apr_time_from_sec(install->seconds);
    message = prepare(install);
    if (message) {
        refuse(install, "install", message);
        end(install);
    }
}

/* Refuses the requests that wait. */
static void refuse_waiting(sf_installs *installs, const char *message)
{
    sf_install *install;
    sf_install *next;

    APR_RING_FOREACH_SAFE(install, next, &installs->all, sf_install, link)
    {
        if (!install->is_running) {
            refuse(install, "install", message);
            end(install);
        }
    }
}

static int has_waiting(const sf_installs *installs)
{
    const sf_install *install;

    APR_RING_FOREACH(install, &installs->all, sf_install, link)
    {
        if (!install->is_running) {
            return 1;
        }
    }
    return 0;
}

/* Starts processes for the requests that wait, as far as the machine allows, and as soon as there is a network. */
static void start_waiting(sf_installs *installs)
{
    sf_install *install;
    sf_install *next;
    const char *message = has_waiting(installs) ? hold_network(installs) : NULL;

    if (message) {
        refuse_waiting(installs, message);
    }
    if (installs->network && sf_network_state_of(installs->network) == SF_NETWORK_STARTING) {
        return;
    }
    APR_RING_FOREACH_SAFE(install, next, &installs->all, sf_install, link)
    {
        if (installs->running >= RUNNING_MAX) {
            return;
        }
        if (!install->is_running) {
            start(install);
        }
    }
}


/* Events -------------------------------------------------------------------------------------- */

/* Reads the request. Returns whether it is one. */
static int read_request(sf_install *install, const json_object *request)
{
    json_object *runtime = json_object_object_get(request, "runtime");
    json_object *dependencies = json_object_object_get(request, "dependencies");

    if (!json_object_is_type(runtime, json_type_string)
        || !json_object_is_type(dependencies, json_type_object)
        || !sf_demand_integer(request, "seconds", 1, SECONDS_MAX, &install->seconds)
        || !sf_demand_integer(request, "bytes", 1, BYTES_MAX, &install->bytes)) {
        return 0;
    }
    install->is_check = json_object_get_boolean(json_object_object_get(request, "check"));
    install->dependencies = json_object_get(dependencies);
    install->runtime = sf_runner_config_runtime(install->installs->parts.config,
                                                json_object_get_string(runtime));
    return 1;
}

/* Refuses what cannot be installed, or a check that would have to wait. Returns whether it has refused. */
static int refuse_at_once(const sf_install *install)
{
    const sf_installs *installs = install->installs;

    if (!install->runtime) {
        refuse(install, "runtime", "there is no such Runtime");
    }
    else if (!installs->parts.config->npm) {
        refuse(install, "none", "this runner has no line Install");
    }
    else if (install->is_check && installs->running >= RUNNING_MAX) {
        refuse(install, "busy", "other Builds are resolved");
    }
    else {
        return 0;
    }
    return 1;
}

const char *sf_installs_begin(sf_installs *installs, sf_connection *child,
                              const sf_control_message *message)
{
    json_object *request = sf_demand_object(message->payload, message->length);
    apr_pool_t *pool;
    sf_install *install;
    int is_read;

    apr_pool_create(&pool, installs->pool);
    install = apr_pcalloc(pool, sizeof(*install));
    install->pool = pool;
    install->installs = installs;
    install->child = child;
    install->number = message->number;
    is_read = request && read_request(install, request);
    json_object_put(request);
    APR_RING_INSERT_TAIL(&installs->all, install, sf_install, link);
    if (!is_read) {
        end(install);
        return "an INSTALL that cannot be read";
    }
    if (refuse_at_once(install)) {
        end(install);
    }
    start_waiting(installs);
    return NULL;
}

/* Reaps the process if it has ended, and answers. Processes that it has left behind end with it. */
static void reap(sf_install *install)
{
    siginfo_t ended = { 0 };
    int status;

    waitid(P_PID, (id_t)install->sandbox.pid, &ended, WEXITED | WNOHANG | WNOWAIT);
    if (ended.si_pid != install->sandbox.pid) {
        return;
    }
    output_is_ready(install, 0);
    sf_loop_remove(install->installs->parts.loop, &install->output);
    status = sf_sandbox_end(&install->sandbox);
    install->installs->running--;
    if (install->child) {
        answer(install, status);
    }
    end(install);
}

void sf_installs_reap(sf_installs *installs)
{
    sf_install *install;
    sf_install *next;

    APR_RING_FOREACH_SAFE(install, next, &installs->all, sf_install, link)
    {
        if (install->is_running) {
            reap(install);
        }
    }
    start_waiting(installs);
}

void sf_installs_network_changed(sf_installs *installs, const sf_network *network)
{
    if (network != installs->network) {
        return;
    }
    if (sf_network_state_of(network) == SF_NETWORK_FAILED) {
        refuse_waiting(installs, sf_network_failure(network));
    }
    else {
        start_waiting(installs);
    }
}

void sf_installs_tick(sf_installs *installs, apr_time_t now)
{
    sf_install *install;

    APR_RING_FOREACH(install, &installs->all, sf_install, link)
    {
        if (install->is_running && install->deadline <= now) {
            install->is_late = 1;
            sf_sandbox_kill(&install->sandbox);
        }
    }
}

void sf_installs_end(sf_installs *installs)
{
    sf_install *install;

    APR_RING_FOREACH(install, &installs->all, sf_install, link)
    {
        if (install->is_running) {
            sf_sandbox_kill(&install->sandbox);
        }
    }
}

void sf_installs_remove_holder(sf_installs *installs, const sf_connection *child)
{
    sf_install *install;
    sf_install *next;

    APR_RING_FOREACH_SAFE(install, next, &installs->all, sf_install, link)
    {
        if (install->child == child) {
            install->child = NULL;
            if (install->is_running) {
                sf_sandbox_kill(&install->sandbox);
            }
            else {
                end(install);
            }
        }
    }
}
