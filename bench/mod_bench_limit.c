/* What httpd itself can do, for the benchmark: answers /NUMBER with that many bytes, without a
 * database, without a walk through the file system and without authentication. With the directive
 * BenchLines, /hello is answered by processes (bench/peers/line.js), one call at a time in each: the
 * least that a call of a Function can be. Besides, a provider for mod_auth_basic that lets everybody
 * in and costs nothing. */
#include <httpd.h>

#include <ap_provider.h>
#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <http_config.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_auth.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

module AP_MODULE_DECLARE_DATA bench_limit_module __attribute__((visibility("default")));

#define HANDLER "bench-limit"
#define LENGTH_MAX (1024 * 1024)

#define CALL_HANDLER "bench-call"
#define CALL_PATH "/hello"
#define CALL_BYTES 400   /* of a call, as in bench/peers/line.js */
#define ANSWER_BYTES 512 /* of an answer, at most */
#define LINES_MAX 64
#define WAIT 10000 /* milliseconds */

static char body[LENGTH_MAX];

/* The lines of this child: connections to the sockets FOLDER/0, FOLDER/1... */
static struct {
    const char *folder;
    int count;
    int made;
    int idle[LINES_MAX];
    int idle_count;
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *given;
} lines;

/* The length that the path asks for, or -1 where it is none of ours. */
static apr_int64_t length_of(const request_rec *r)
{
    char *end;
    const apr_int64_t length = *r->uri == '/' ? apr_strtoi64(r->uri + 1, &end, 10) : -1;

    return length > 0 && length <= LENGTH_MAX && !*end ? length : -1;
}

static int translate_name(request_rec *r)
{
    if (lines.count > 0 && strcmp(r->uri, CALL_PATH) == 0) {
        r->handler = CALL_HANDLER;
    }
    else if (length_of(r) >= 0) {
        r->handler = HANDLER;
    }
    else {
        return DECLINED;
    }
    r->filename = "";
    return OK;
}

static int is_ours(const request_rec *r)
{
    return r->handler
           && (strcmp(r->handler, HANDLER) == 0 || strcmp(r->handler, CALL_HANDLER) == 0);
}

static int map_to_storage(request_rec *r)
{
    return is_ours(r) ? OK : DECLINED;
}


/* Calls ------------------------------------------------------------------------------------------ */

/* Connects to a socket. Returns the descriptor, or -1. */
static int connect_line(int number)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const int line = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    apr_snprintf(address.sun_path, sizeof(address.sun_path), "%s/%d", lines.folder, number);
    if (line >= 0 && connect(line, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(line);
        return -1;
    }
    return line;
}

/* Takes the line that was used last; waits for one where all are in use. */
static int take_line(void)
{
    int line;

    apr_thread_mutex_lock(lines.mutex);
    while (lines.idle_count == 0 && lines.made == lines.count) {
        apr_thread_cond_wait(lines.given, lines.mutex);
    }
    line = lines.idle_count > 0 ? lines.idle[--lines.idle_count] : connect_line(lines.made++);
    apr_thread_mutex_unlock(lines.mutex);
    return line;
}

static void give_line(int line)
{
    apr_thread_mutex_lock(lines.mutex);
    lines.idle[lines.idle_count++] = line;
    apr_thread_mutex_unlock(lines.mutex);
    apr_thread_cond_signal(lines.given);
}

/* Sends a call, and receives the answer. Returns whether there is one. */
static int call(int line)
{
    static const char bytes[CALL_BYTES];
    struct pollfd polled = { line, POLLIN, 0 };
    char answer[ANSWER_BYTES];

    return send(line, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(bytes)
           && poll(&polled, 1, WAIT) == 1 && recv(line, answer, sizeof(answer), MSG_DONTWAIT) > 0;
}

static int call_handler(request_rec *r)
{
    static const char text[] = "Hello World";
    int line;
    int is_answered;

    if (!r->handler || strcmp(r->handler, CALL_HANDLER) != 0) {
        return DECLINED;
    }
    line = take_line();
    is_answered = call(line);
    give_line(line);
    if (!is_answered) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    ap_set_content_type(r, "text/plain; charset=utf-8");
    ap_set_content_length(r, sizeof(text) - 1);
    ap_rwrite(text, sizeof(text) - 1, r);
    return OK;
}

static void child_init(apr_pool_t *pool, server_rec *server)
{
    (void)server;
    if (apr_thread_mutex_create(&lines.mutex, APR_THREAD_MUTEX_DEFAULT, pool) != APR_SUCCESS
        || apr_thread_cond_create(&lines.given, pool) != APR_SUCCESS) {
        abort();
    }
}

static const char *set_lines(cmd_parms *command, void *config, const char *folder,
                             const char *count)
{
    (void)command;
    (void)config;
    lines.folder = folder;
    lines.count = atoi(count);
    return lines.count > 0 && lines.count <= LINES_MAX ? NULL
                                                       : "BenchLines takes a folder and a number";
}

static const command_rec commands[] = {
    AP_INIT_TAKE2(
        "BenchLines", set_lines, NULL, RSRC_CONF,
        "the folder of the sockets 0, 1... of processes that answer /hello, and their number"),
    { NULL, { NULL }, NULL, 0, 0, NULL },
};


/* Answers of httpd alone ------------------------------------------------------------------------- */

static int handler(request_rec *r)
{
    const int length = (int)length_of(r);

    if (!r->handler || strcmp(r->handler, HANDLER) != 0) {
        return DECLINED;
    }
    ap_set_content_type(r, "application/json");
    ap_set_content_length(r, length);
    ap_rwrite(body, length, r);
    return OK;
}

static authn_status let_in(request_rec *r, const char *user, const char *password)
{
    (void)r;
    (void)user;
    (void)password;
    return AUTH_GRANTED;
}

static void register_hooks(apr_pool_t *pool)
{
    static const authn_provider provider = { let_in, NULL };

    memset(body, 'x', sizeof(body));
    ap_hook_translate_name(translate_name, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_map_to_storage(map_to_storage, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(call_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_register_auth_provider(pool, AUTHN_PROVIDER_GROUP, "bench-everybody", AUTHN_PROVIDER_VERSION,
                              &provider, AP_AUTH_INTERNAL_PER_CONF);
}

AP_DECLARE_MODULE(bench_limit) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, commands, register_hooks, AP_MODULE_FLAG_NONE,
};
