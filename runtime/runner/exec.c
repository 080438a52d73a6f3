#include "runtime/runner/exec.h"
#include "core/clock.h"
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
#define TICK 1000 /* milliseconds */

static int fail(const char *message)
{
    (void)fprintf(stderr, "serverless-runner: %s\n", message);
    return 1;
}

/* Copies some output. Returns whether there may be more. */
static int copy_output(int output)
{
    char bytes[8192];
    const ssize_t got = read(output, bytes, sizeof(bytes));

    if (got <= 0) {
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    }
    return fwrite(bytes, 1, (size_t)got, stdout) == (size_t)got && fflush(stdout) == 0;
}

/* Copies all output. Meanwhile, the network follows the machine's addresses. */
static void watch(int output, sf_networks *networks)
{
    struct pollfd ready[] = { { output, POLLIN, 0 },
                              { networks ? sf_networks_descriptor(networks) : -1, POLLIN, 0 } };

    do {
        poll(ready, 2, TICK);
        if (networks) {
            (void)sf_networks_read(networks);
            sf_networks_tick(networks, sf_clock_now());
        }
    } while (!ready[0].revents || copy_output(output));
}

static int run(apr_pool_t *pool, const sf_sandbox_program *program, sf_networks *networks)
{
    sf_sandbox process;
    int status = 0;
    const apr_status_t rv = sf_sandbox_start(pool, program, &process);

    if (rv != APR_SUCCESS) {
        return fail(strerror(rv));
    }
    sf_sandbox_close_input(&process);
    watch(process.output, networks);
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
    return run(pool, &start, sf_cage_networks(cage));
}
