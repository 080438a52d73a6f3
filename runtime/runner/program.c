#include "runtime/runner/program.h"
#include "core/clock.h"
#include "core/process/sandbox.h"

#include <apr_strings.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE apr_time_from_sec(10)
#define OUTPUT_SIZE 4096

static const char *const folders[] = { "/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/", NULL };

const char *sf_program_find(apr_pool_t *pool, const sf_program *program, const char **path)
{
    int i;

    for (i = 0; folders[i]; i++) {
        *path = apr_pstrcat(pool, folders[i], program->name, NULL);
        if (access(*path, X_OK) == 0) {
            return NULL;
        }
    }
    return apr_psprintf(pool, "the program %s is not there; install the package %s", program->name,
                        program->package);
}

void sf_program_add(apr_array_header_t *arguments, const char *const *words)
{
    int i;

    for (i = 0; words[i]; i++) {
        APR_ARRAY_PUSH(arguments, const char *) = words[i];
    }
}

/* Reads the output until its end or the deadline, keeping as much as fits. */
static void read_output(int output, char text[OUTPUT_SIZE], apr_time_t deadline)
{
    struct pollfd ready = { output, POLLIN, 0 };
    char rest[OUTPUT_SIZE] = { 0 }; /* read and not kept */
    size_t length = 0;
    ssize_t got = -1;
    apr_time_t left;

    while (got != 0 && (left = deadline - sf_clock_now()) > 0) {
        const size_t room = OUTPUT_SIZE - 1 - length;

        if (poll(&ready, 1, (int)apr_time_as_msec(left) + 1) == 1) {
            got = read(output, room ? text + length : rest, room ? room : sizeof(rest));
            length += got > 0 && room ? (size_t)got : 0;
        }
    }
    text[length] = '\0';
}

/* Waits for the process, and kills it at the deadline. Returns whether it ended by itself. */
static int wait_until(sf_sandbox *process, apr_time_t deadline, int *status)
{
    pid_t ended;

    while ((ended = waitpid(process->pid, status, WNOHANG)) == 0 && sf_clock_now() < deadline) {
        sf_clock_sleep(apr_time_from_msec(1));
    }
    if (ended == 0) {
        sf_sandbox_end(process);
        return 0;
    }
    sf_sandbox_release(process);
    return 1;
}

static const char *describe(apr_pool_t *pool, const char *program, char *text, int status)
{
    text[strcspn(text, "\n")] = '\0';
    if (*text) {
        return apr_pstrdup(pool, text);
    }
    return WIFSIGNALED(status)
               ? apr_psprintf(pool, "%s ended by signal %d", program, WTERMSIG(status))
               : apr_psprintf(pool, "%s ended with status %d", program, WEXITSTATUS(status));
}

const char *sf_program_run(apr_pool_t *pool, const char *const *arguments, const int *descriptors,
                           int descriptor_count)
{
    const sf_sandbox_program program = { .arguments = arguments,
                                         .directory = "/",
                                         .descriptors = descriptors,
                                         .descriptor_count = descriptor_count,
                                         .errors_to_output = 1,
                                         .processor_seconds = SF_PROGRAM_NO_LIMIT,
                                         .data_bytes = (apr_size_t)-1 };
    const apr_time_t deadline = sf_clock_now() + PATIENCE;
    sf_sandbox process;
    char text[OUTPUT_SIZE];
    int status = 0;
    apr_status_t rv = sf_sandbox_start(pool, &program, &process);

    if (rv != APR_SUCCESS) {
        return apr_strerror(rv, apr_palloc(pool, OUTPUT_SIZE), OUTPUT_SIZE);
    }
    sf_sandbox_close_input(&process);
    read_output(process.output, text, deadline);
    if (!wait_until(&process, deadline, &status)) {
        return apr_psprintf(pool, "%s did not end", arguments[0]);
    }
    return status == 0 ? NULL : describe(pool, arguments[0], text, status);
}
