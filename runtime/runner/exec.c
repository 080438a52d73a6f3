#include "runtime/runner/exec.h"
#include "core/process/sandbox.h"
#include "runtime/runner/command.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMORY (256 * 1024 * 1024)
#define PROCESSOR_SECONDS 60

static int fail(const char *message)
{
    (void)fprintf(stderr, "serverless-runner: %s\n", message);
    return 1;
}

/* Copies the output until its end. */
static void copy_output(int output)
{
    struct pollfd ready = { output, POLLIN, 0 };
    char bytes[8192];
    ssize_t got = 1;

    while (got > 0) {
        poll(&ready, 1, -1);
        got = read(output, bytes, sizeof(bytes));
        if (got > 0 && fwrite(bytes, 1, (size_t)got, stdout) != (size_t)got) {
            return;
        }
        got = got < 0 && (errno == EAGAIN || errno == EINTR) ? 1 : got;
        (void)fflush(stdout);
    }
}

static int run(apr_pool_t *pool, const sf_sandbox_program *program)
{
    sf_sandbox process;
    int status = 0;
    const apr_status_t rv = sf_sandbox_start(pool, program, &process);

    if (rv != APR_SUCCESS) {
        return fail(strerror(rv));
    }
    sf_sandbox_close_input(&process);
    copy_output(process.output);
    while (waitpid(process.pid, &status, 0) < 0 && errno == EINTR) {
    }
    sf_sandbox_kill(&process);
    sf_sandbox_release(&process);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int sf_exec(apr_pool_t *pool, const sf_cage *cage, const sf_runner_config *config,
            const char *const *program)
{
    const int descriptors[] = { open("/dev/null", O_RDWR | O_CLOEXEC), sf_cage_filter(cage) };
    sf_network *network = NULL;
    const char *message = sf_networks_ready(sf_cage_networks(cage), "exec", &network);
    const sf_cage_isolate isolate = { .node = APR_ARRAY_IDX(config->runtimes, 0, sf_runtime).node,
                                      .build = sf_cage_empty_folder(cage),
                                      .memory = MEMORY,
                                      .network = network };
    const sf_command_request request = { .cage = cage,
                                         .isolate = &isolate,
                                         .descriptors = descriptors,
                                         .program = program,
                                         .processor_seconds = PROCESSOR_SECONDS };
    sf_sandbox_program start = { 0 };

    if (message) {
        return fail(message);
    }
    sf_command_make(pool, &request, &start);
    return run(pool, &start);
}
