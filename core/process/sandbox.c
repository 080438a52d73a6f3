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

/* Above the descriptors that a process gets. */
#define HIGH_DESCRIPTOR 64
#define DESCRIPTORS_MAX 16

/* A pipe's two ends, as pipe() numbers them. */
enum { READ_END, WRITE_END };


/* The process --------------------------------------------------------------------------------- */

/* Sets the soft and the hard limit of a resource. */
static void set_limits(int resource, rlim_t soft, rlim_t hard)
{
    const struct rlimit limits = { soft, hard };

    setrlimit(resource, &limits);
}

static void set_limit(int resource, rlim_t value)
{
    set_limits(resource, value, value);
}

/* Resets the state that a process inherits from the thread that forked it: process
 * group, signal mask and handler of SIGPIPE. The kernel kills the process when that thread ends. */
static void leave_parent(void)
{
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
}

/* Sets standard input, output and error. Returns whether that succeeded. */
static int set_streams(const sf_sandbox_program *program, int input, int output)
{
    const int errors = program->errors_to_output ? output : open("/dev/null", O_WRONLY);

    return dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0
           && dup2(errors, STDERR_FILENO) >= 0;
}

/* Closes all descriptors from `first`. musl has no closefrom(). */
static void close_descriptors(int first)
{
#if defined(__linux__) && !defined(__GLIBC__)
    struct rlimit limit;
    int i;

    getrlimit(RLIMIT_NOFILE, &limit);
    for (i = first; (rlim_t)i < limit.rlim_cur; i++) {
        close(i);
    }
#else
    closefrom(first);
#endif
}

/* Makes the descriptors 3, 4, ... of the program's, and closes all others. The way by higher numbers
 * keeps one from replacing another. Returns whether that succeeded. */
static int set_descriptors(const sf_sandbox_program *program)
{
    int high[DESCRIPTORS_MAX];
    int i;

    if (program->descriptor_count > DESCRIPTORS_MAX) {
        return 0;
    }
    for (i = 0; i < program->descriptor_count; i++) {
        high[i] = fcntl(program->descriptors[i], F_DUPFD, HIGH_DESCRIPTOR);
        if (high[i] < 0) {
            return 0;
        }
    }
    for (i = 0; i < program->descriptor_count; i++) {
        dup2(high[i], SF_SANDBOX_FIRST_DESCRIPTOR + i);
    }
    close_descriptors(SF_SANDBOX_FIRST_DESCRIPTOR + program->descriptor_count);
    return 1;
}

/* Enters the directory. An empty one keeps no name, so that nothing can ever be put into it. Returns
 * whether that succeeded. */
static int set_directory(const sf_sandbox_program *program, const char *empty)
{
    if (chdir(empty ? empty : program->directory) != 0) {
        return 0;
    }
    if (empty) {
        rmdir(empty);
    }
    return 1;
}

/* Becomes the program, in the new process. Calls only functions that are safe after fork() in a
 * process with threads. */
static void become(const sf_sandbox_program *program, const char *empty, int input, int output)
{
    static const char *const nothing[] = { NULL };

    leave_parent();
    if (!set_streams(program, input, output) || !set_directory(program, empty)
        || (program->restriction && !sf_restriction_enter(program->restriction))
        || !set_descriptors(program)) {
        _exit(SF_SANDBOX_NOT_STARTED);
    }
    set_limits(RLIMIT_CPU, program->processor_seconds, program->processor_seconds + 1);
    set_limit(RLIMIT_DATA, program->data_bytes);
    set_limit(RLIMIT_FSIZE, (rlim_t)program->file_bytes);
    set_limit(RLIMIT_CORE, 0);
    execve(program->arguments[0], (char *const *)program->arguments,
           (char *const *)(program->environment ? program->environment : nothing));
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

/* Makes an empty directory, unless the program has one. */
static apr_status_t make_directory(apr_pool_t *pool, const sf_sandbox_program *program,
                                   const char **directory)
{
    const char *temporary;
    apr_status_t rv;

    *directory = NULL;
    if (program->directory) {
        return APR_SUCCESS;
    }
    rv = apr_temp_dir_get(&temporary, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *directory = mkdtemp(apr_pstrcat(pool, temporary, "/", program->name, ".XXXXXX", NULL));
    return *directory ? APR_SUCCESS : errno;
}

/* Removes the empty directory. Fails where the process has removed it. */
static void remove_directory(const sf_sandbox *sandbox)
{
    if (sandbox->directory) {
        rmdir(sandbox->directory);
    }
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
    apr_status_t rv = make_directory(pool, program, &sandbox->directory);

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
        remove_directory(sandbox);
    }
    return rv;
}

void sf_sandbox_close_input(sf_sandbox *sandbox)
{
    close_end(&sandbox->input);
}

void sf_sandbox_kill(const sf_sandbox *sandbox)
{
    kill(-sandbox->pid, SIGKILL);
}

void sf_sandbox_release(sf_sandbox *sandbox)
{
    close_end(&sandbox->input);
    close_end(&sandbox->output);
    remove_directory(sandbox);
}

int sf_sandbox_end(sf_sandbox *sandbox)
{
    int status = 0;

    close_end(&sandbox->input);
    close_end(&sandbox->output);
    sf_sandbox_kill(sandbox);
    while (waitpid(sandbox->pid, &status, 0) < 0 && errno == EINTR) {
    }
    sf_sandbox_release(sandbox);
    return status;
}
