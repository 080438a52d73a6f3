#include "core/process/sandbox.h"

#include <apr_file_io.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLOSED (-1)

/* A pipe's two ends, as pipe() numbers them. */
enum { READ_END, WRITE_END };


/* The process --------------------------------------------------------------------------------- */

/* Sets both the soft and the hard limit of a resource. */
static void set_limit(int resource, rlim_t value)
{
    const struct rlimit both = { value, value };

    setrlimit(resource, &both);
}

/* Resets the state that a process inherits from the thread of httpd that forked it: process
 * group, signal mask and handler of SIGPIPE. The kernel kills the process when that thread ends. */
static void leave_httpd(void)
{
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
}

/* Becomes the program, in the new process. Calls only functions that are safe after fork() in a
 * process with threads. The directory keeps no name, so that nothing can ever be put into it. */
static void become(const sf_sandbox_program *program, const char *directory, int input, int output)
{
    char *const environment[] = { NULL };
    const int nothing = open("/dev/null", O_WRONLY);

    leave_httpd();
    if (dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0
        || dup2(nothing, STDERR_FILENO) < 0 || chdir(directory) != 0) {
        _exit(SF_SANDBOX_NOT_STARTED);
    }
    rmdir(directory);
    closefrom(STDERR_FILENO + 1);
    set_limit(RLIMIT_CPU, program->processor_seconds);
    set_limit(RLIMIT_DATA, program->data_bytes);
    set_limit(RLIMIT_FSIZE, 0);
    set_limit(RLIMIT_CORE, 0);
    execve(program->arguments[0], (char *const *)program->arguments, environment);
    _exit(SF_SANDBOX_NOT_STARTED);
}


/* Its parent ---------------------------------------------------------------------------------- */

static void close_end(int *end)
{
    if (*end != CLOSED) {
        close(*end);
        *end = CLOSED;
    }
}

static void close_pipe(int ends[2])
{
    close_end(&ends[READ_END]);
    close_end(&ends[WRITE_END]);
}

static apr_status_t make_directory(apr_pool_t *pool, const char *name, const char **directory)
{
    const char *temporary;
    apr_status_t rv = apr_temp_dir_get(&temporary, pool);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    *directory = mkdtemp(apr_pstrcat(pool, temporary, "/", name, ".XXXXXX", NULL));
    return *directory ? APR_SUCCESS : errno;
}

/* Forks between two pipes. The parent keeps the end of each that the process does not use. */
static apr_status_t fork_between(const sf_sandbox_program *program, sf_sandbox *sandbox,
                                 int input[2], int output[2])
{
    sandbox->pid = fork();
    if (sandbox->pid < 0) {
        return errno;
    }
    if (sandbox->pid == 0) {
        become(program, sandbox->directory, input[READ_END], output[WRITE_END]);
    }
    setpgid(sandbox->pid, sandbox->pid); /* both processes do, as either may run first */
    sandbox->input = input[WRITE_END];
    sandbox->output = output[READ_END];
    fcntl(sandbox->input, F_SETFL, O_NONBLOCK);
    fcntl(sandbox->output, F_SETFL, O_NONBLOCK);
    close_end(&input[READ_END]);
    close_end(&output[WRITE_END]);
    return APR_SUCCESS;
}

apr_status_t sf_sandbox_start(apr_pool_t *pool, const sf_sandbox_program *program,
                              sf_sandbox *sandbox)
{
    int input[2] = { CLOSED, CLOSED };
    int output[2] = { CLOSED, CLOSED };
    apr_status_t rv = make_directory(pool, program->name, &sandbox->directory);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0) {
        rv = errno;
    }
    else {
        rv = fork_between(program, sandbox, input, output);
    }
    if (rv != APR_SUCCESS) {
        close_pipe(input);
        close_pipe(output);
        rmdir(sandbox->directory);
    }
    return rv;
}

void sf_sandbox_close_input(sf_sandbox *sandbox)
{
    close_end(&sandbox->input);
}

int sf_sandbox_end(sf_sandbox *sandbox)
{
    int status = 0;

    close_end(&sandbox->input);
    close_end(&sandbox->output);
    kill(-sandbox->pid, SIGKILL);
    while (waitpid(sandbox->pid, &status, 0) < 0 && errno == EINTR) {
    }
    rmdir(sandbox->directory); /* fails where the process has removed it */
    return status;
}
