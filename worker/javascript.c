#include "worker/javascript.h"

#include "compile_check.h"
#include "core/process/sandbox.h"
#include "core/utf8.h"
#include "worker/background.h"

#include <apr_strings.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* How often a wait for the process asks whether httpd stops. */
#define SLICE_MS 100

#define MEMORY_BYTES ((apr_size_t)2 * 1024 * 1024 * 1024)
#define HEAP_FLAG "--max-old-space-size=512"
#define REASON_BYTES 1000

struct sf_javascript {
    apr_pool_t *pool;
    apr_time_t deadline;
    sf_sandbox sandbox;
    int started;
    int stopped; /* httpd stops */
};

/* Starts the process, which can read node and the system's libraries, and reach nothing else. */
static void start(sf_javascript *check, const char *node)
{
    const char *const arguments[] = { node, HEAP_FLAG, "-e", sf_compile_check, NULL };
    const char *const readable[] = { node, NULL };
    const apr_interval_time_t left = check->deadline - apr_time_now();
    sf_restriction restriction;
    const sf_sandbox_program program = { .name = "serverless-build",
                                         .arguments = arguments,
                                         .restriction = &restriction,
                                         .processor_seconds = (unsigned int)apr_time_sec(left) + 1,
                                         .data_bytes = MEMORY_BYTES };

    if (!sf_restriction_make(check->pool, readable, NULL, &restriction)) {
        check->started = sf_sandbox_start(check->pool, &program, &check->sandbox) == APR_SUCCESS;
        sf_restriction_release(&restriction);
    }
}

sf_javascript *sf_javascript_begin(apr_pool_t *pool, const char *node, apr_time_t deadline)
{
    sf_javascript *check = apr_pcalloc(pool, sizeof(*check));

    check->pool = pool;
    check->deadline = deadline;
    start(check, node);
    return check;
}


/* Pipes --------------------------------------------------------------------------------------- */

/* Waits until a pipe is ready for `events`. Returns 0 at the deadline, or when httpd stops. */
static int wait_for_pipe(sf_javascript *check, int fd, short events)
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

/* Writes to the process's standard input. Returns 0 where that fails, at the deadline, or when
 * httpd stops. */
static int write_all(sf_javascript *check, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written;

        if (!wait_for_pipe(check, check->sandbox.input, POLLOUT)) {
            return 0;
        }
        written = write(check->sandbox.input, bytes, size);
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
        else if (written < 0 && errno != EAGAIN && errno != EINTR) {
            return 0;
        }
    }
    return 1;
}

int sf_javascript_add(sf_javascript *check, const char *path, const char *source)
{
    const size_t size = strlen(source);
    const char *header = apr_psprintf(check->pool, "%" APR_SIZE_T_FMT " %s\n", size, path);

    return check->started && write_all(check, header, strlen(header))
           && write_all(check, source, size);
}

/* Reads the process's standard output to its end, REASON_BYTES of it at most. */
static const char *read_all(sf_javascript *check)
{
    char *text = apr_palloc(check->pool, REASON_BYTES + 1);
    size_t length = 0;

    while (length < REASON_BYTES && wait_for_pipe(check, check->sandbox.output, POLLIN)) {
        const ssize_t size = read(check->sandbox.output, text + length, REASON_BYTES - length);

        if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) {
            break;
        }
        if (size > 0) {
            length += (size_t)size;
        }
    }
    text[length] = '\0';
    return text;
}


/* The result ---------------------------------------------------------------------------------- */

/* Returns the first line of the output, cut where it stops being UTF-8: the database takes
 * nothing else. node writes UTF-8, but the limit of REASON_BYTES may cut a character. */
static const char *readable(apr_pool_t *pool, const char *text)
{
    char *line = apr_pstrmemdup(pool, text, strcspn(text, "\n"));
    size_t length = strlen(line);
    const int was_empty = length == 0;

    while (length > 0 && sf_utf8_length(line) < 0) {
        line[--length] = '\0';
    }
    return !was_empty && length == 0 ? "The check of the Functions gave no readable result" : line;
}

/* The program prints one line: empty, or an error message. Output that is shorter and has no end
 * of line is that of a process which the kernel or the deadline killed. */
sf_javascript_result sf_javascript_end(sf_javascript *check, const char **reason)
{
    const char *output;
    int status;

    if (!check->started) {
        return SF_JAVASCRIPT_BROKEN;
    }
    sf_sandbox_close_input(&check->sandbox);
    output = read_all(check);
    status = sf_sandbox_end(&check->sandbox);
    if (check->stopped) {
        return SF_JAVASCRIPT_STOPPED;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == SF_SANDBOX_NOT_STARTED) {
        return SF_JAVASCRIPT_BROKEN;
    }
    if (!strchr(output, '\n') && strlen(output) < REASON_BYTES) {
        return SF_JAVASCRIPT_EXHAUSTED;
    }
    *reason = readable(check->pool, output);
    return **reason ? SF_JAVASCRIPT_INVALID : SF_JAVASCRIPT_VALID;
}
