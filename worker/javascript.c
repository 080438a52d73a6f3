#include "worker/javascript.h"

#include "compile_check.h"
#include "core/utf8.h"
#include "worker/background.h"

#include <apr_strings.h>
#include <apr_file_io.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long a wait goes on before looking whether httpd stops. */
#define SLICE_MS 100

#define MEMORY_BYTES (2UL * 1024 * 1024 * 1024)
#define HEAP_FLAG "--max-old-space-size=512"
#define REASON_BYTES 1000

/* What the process ends with before it is node, as a shell would. */
#define NOT_STARTED 127

struct sf_javascript {
    apr_pool_t *pool;
    apr_time_t deadline;
    const char *directory;
    pid_t pid;
    int to;   /* its stdin */
    int from; /* its stdout */
    int stopped;
};


/* The cage --------------------------------------------------------------------------------------- */

static void limit(int resource, rlim_t most)
{
    const struct rlimit both = { most, most };

    setrlimit(resource, &both);
}

/* In the new process; only what is safe after fork() in a threaded one. */
static void become_node(const sf_javascript *check, const char *node, int in, int out,
                        rlim_t seconds)
{
    char *const arguments[]
        = { (char *)node, (char *)HEAP_FLAG, (char *)"-e", (char *)sf_compile_check, NULL };
    char *const environment[] = { NULL };
    const int nothing = open("/dev/null", O_WRONLY);
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL); /* if the worker dies */
    setpgid(0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(nothing, 2) < 0
        || chdir(check->directory) != 0) {
        _exit(NOT_STARTED);
    }
    rmdir(check->directory); /* as its own it stays, without a name and for ever empty */
    closefrom(3);
    limit(RLIMIT_CPU, seconds);
    limit(RLIMIT_DATA, MEMORY_BYTES);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_CORE, 0);
    execve(node, arguments, environment);
    _exit(NOT_STARTED);
}

static void close_pair(const int pair[2])
{
    close(pair[0]);
    close(pair[1]);
}

static const char *make_directory(apr_pool_t *pool)
{
    const char *temporary;
    char *name;

    if (apr_temp_dir_get(&temporary, pool) != APR_SUCCESS) {
        return NULL;
    }
    name = apr_pstrcat(pool, temporary, "/serverless-build.XXXXXX", NULL);
    return mkdtemp(name);
}

sf_javascript *sf_javascript_begin(apr_pool_t *pool, const char *node, apr_time_t deadline)
{
    sf_javascript *check = apr_pcalloc(pool, sizeof(*check));
    const apr_interval_time_t left = deadline - apr_time_now();
    int in[2];
    int out[2];

    check->pool = pool;
    check->deadline = deadline;
    check->directory = make_directory(pool);
    if (!check->directory) {
        return NULL;
    }
    if (pipe2(in, O_CLOEXEC) != 0) {
        rmdir(check->directory);
        return NULL;
    }
    if (pipe2(out, O_CLOEXEC) != 0) {
        close_pair(in);
        rmdir(check->directory);
        return NULL;
    }
    check->pid = fork();
    if (check->pid == 0) {
        become_node(check, node, in[0], out[1], (rlim_t)(apr_time_sec(left) + 1));
    }
    close(in[0]);
    close(out[1]);
    check->to = in[1];
    check->from = out[0];
    if (check->pid < 0) {
        close(check->to);
        close(check->from);
        rmdir(check->directory);
        return NULL;
    }
    setpgid(check->pid, check->pid); /* whoever of the two comes first */
    fcntl(check->to, F_SETFL, O_NONBLOCK);
    fcntl(check->from, F_SETFL, O_NONBLOCK);
    return check;
}


/* Pipes ------------------------------------------------------------------------------------------ */

/* Waits until a pipe is ready; 0 at the deadline or when httpd stops. */
static int ready(sf_javascript *check, int fd, short events)
{
    while (!check->stopped && apr_time_now() < check->deadline) {
        struct pollfd pipe = { fd, events, 0 };

        if (poll(&pipe, 1, SLICE_MS) > 0) {
            return 1;
        }
        check->stopped = sf_background_stopping();
    }
    return 0;
}

static int write_all(sf_javascript *check, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written;

        if (!ready(check, check->to, POLLOUT)) {
            return 0;
        }
        written = write(check->to, bytes, size);
        if (written < 0 && errno != EAGAIN && errno != EINTR) {
            return 0;
        }
        bytes += written > 0 ? written : 0;
        size -= written > 0 ? (size_t)written : 0;
    }
    return 1;
}

int sf_javascript_add(sf_javascript *check, const char *path, const char *source)
{
    const size_t size = strlen(source);
    const char *header = apr_psprintf(check->pool, "%" APR_SIZE_T_FMT " %s\n", size, path);

    return write_all(check, header, strlen(header)) && write_all(check, source, size);
}

/* What it printed, its last line's end included; what does not fit is cut. */
static const char *read_all(sf_javascript *check)
{
    char *text = apr_palloc(check->pool, REASON_BYTES + 1);
    size_t length = 0;

    while (ready(check, check->from, POLLIN)) {
        const ssize_t size = read(check->from, text + length, REASON_BYTES - length);

        if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) {
            break;
        }
        length += size > 0 ? (size_t)size : 0;
        if (length == REASON_BYTES) {
            break;
        }
    }
    text[length] = '\0';
    return text;
}


/* The first line as far as it is UTF-8, which the database insists on: node's messages are, but what
 * did not fit may have been cut within a character. */
static const char *readable(apr_pool_t *pool, const char *text)
{
    char *line = apr_pstrmemdup(pool, text, strcspn(text, "\n"));
    size_t length = strlen(line);
    const int said_something = length > 0;

    while (length > 0 && sf_utf8_length(line) < 0) {
        line[--length] = '\0';
    }
    return said_something && length == 0 ? "The check of the Functions gave no readable result"
                                         : line;
}


/* The end ---------------------------------------------------------------------------------------- */

sf_javascript_result sf_javascript_end(sf_javascript *check, const char **reason)
{
    const char *text;
    int status = 0;

    close(check->to);
    text = read_all(check);
    close(check->from);
    kill(-check->pid, SIGKILL); /* it has said what it had to say, or had its time */
    while (waitpid(check->pid, &status, 0) < 0 && errno == EINTR) {
    }
    rmdir(check->directory);
    if (check->stopped) {
        return SF_JAVASCRIPT_STOPPED;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_STARTED) {
        return SF_JAVASCRIPT_BROKEN;
    }
    if (!strchr(text, '\n') && strlen(text) < REASON_BYTES) {
        return SF_JAVASCRIPT_EXHAUSTED;
    }
    *reason = readable(check->pool, text);
    return **reason ? SF_JAVASCRIPT_INVALID : SF_JAVASCRIPT_VALID;
}
