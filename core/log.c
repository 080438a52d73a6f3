#include "core/log.h"

#include "core/config.h"
#include "core/request_id.h"

#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <http_log.h>
#include <stdarg.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

#define INTERVAL apr_time_from_sec(1)

/* The most different lines that are limited at a time; a further one takes the place of the
 * oldest. */
#define LINES_MAX 32
#define NUMBER_BYTES 8
#define TEXT_BYTES 200

/* A line that was logged, and how many like it were left out since. */
typedef struct {
    char number[NUMBER_BYTES];
    char text[TEXT_BYTES]; /* its beginning */
    apr_time_t since;      /* when it was logged; 0 for an unused place */
    int level;
    unsigned int left_out;
} limited_line;

/* The mutex guards the lines. NULL before sf_log_init(). */
static apr_thread_mutex_t *mutex;
static limited_line lines[LINES_MAX];

apr_status_t sf_log_init(apr_pool_t *pool)
{
    memset(lines, 0, sizeof(lines));
    return apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, pool);
}


/* Writing --------------------------------------------------------------------------------------- */

static int is_wanted(const sf_caller *caller, int level)
{
    return caller->r ? APLOG_R_IS_LEVEL(caller->r, level) : APLOG_IS_LEVEL(caller->server, level);
}

/* Writes a line. `left_out` is how many like it were left out before. */
static void write_line(const sf_caller *caller, int level, const char *number, const char *text,
                       unsigned int left_out)
{
    const char *more
        = left_out > 0 ? apr_psprintf(caller->pool, " (left out %u times)", left_out) : "";

    if (caller->r && sf_config_logs_request_id(caller->server)) {
        ap_log_rerror(APLOG_MARK, level, 0, caller->r, "%s: %s%s", number, text, more);
    }
    else if (caller->r) {
        ap_log_rerror(APLOG_MARK, level, 0, caller->r, "%s: %s: %s%s", number,
                      sf_request_id(caller->r), text, more);
    }
    else {
        ap_log_error(APLOG_MARK, level, 0, caller->server, "%s: %s%s", number, text, more);
    }
}

void sf_log(const sf_caller *caller, int level, const char *number, const char *format, ...)
{
    va_list arguments;

    if (!is_wanted(caller, level)) {
        return;
    }
    va_start(arguments, format);
    write_line(caller, level, number, apr_pvsprintf(caller->pool, format, arguments), 0);
    va_end(arguments);
}


/* Limited lines --------------------------------------------------------------------------------- */

/* Whether the line's second is over. A clock that was set back ends it, too. */
static int is_over(const limited_line *line, apr_time_t now)
{
    return now - line->since >= INTERVAL || now < line->since;
}

/* Writes how many lines were left out, outside of any request. */
static void write_left_out(const sf_caller *caller, const limited_line *line)
{
    const sf_caller httpd = { caller->pool, caller->server, NULL };

    if (line->left_out > 0) {
        write_line(&httpd, line->level, line->number, line->text, line->left_out);
    }
}

/* Returns the place of a line, or the oldest place for another one. Called with the mutex held. */
static limited_line *find_line(const char *number, const char *text)
{
    limited_line *oldest = &lines[0];
    int i;

    for (i = 0; i < LINES_MAX; i++) {
        if (strcmp(lines[i].number, number) == 0
            && strncmp(lines[i].text, text, TEXT_BYTES - 1) == 0) {
            return &lines[i];
        }
        if (lines[i].since < oldest->since) {
            oldest = &lines[i];
        }
    }
    return oldest;
}

/* Counts a line. Returns 1 where it is to be logged: `before` is then the line that had its place,
 * with the lines left out. */
static int begin_line(int level, const char *number, const char *text, limited_line *before)
{
    const apr_time_t now = apr_time_now();
    limited_line *line;
    int is_same;

    apr_thread_mutex_lock(mutex);
    line = find_line(number, text);
    is_same = strcmp(line->number, number) == 0 && strncmp(line->text, text, TEXT_BYTES - 1) == 0;
    if (is_same && !is_over(line, now)) {
        line->left_out++;
        apr_thread_mutex_unlock(mutex);
        return 0;
    }
    *before = *line;
    apr_cpystrn(line->number, number, NUMBER_BYTES);
    apr_cpystrn(line->text, text, TEXT_BYTES);
    line->since = now;
    line->level = level;
    line->left_out = 0;
    apr_thread_mutex_unlock(mutex);
    return 1;
}

void sf_log_limited(const sf_caller *caller, int level, const char *number, const char *format, ...)
{
    limited_line before = { .since = 0 };
    va_list arguments;
    const char *text;

    if (!is_wanted(caller, level)) {
        return;
    }
    va_start(arguments, format);
    text = apr_pvsprintf(caller->pool, format, arguments);
    va_end(arguments);
    if (!caller->r || !mutex) {
        write_line(caller, level, number, text, 0);
    }
    else if (begin_line(level, number, text, &before)) {
        write_left_out(caller, &before);
        write_line(caller, level, number, text, 0);
    }
}

void sf_log_flush(const sf_caller *caller, int all)
{
    limited_line line;
    int i;

    for (i = 0; i < LINES_MAX && mutex; i++) {
        line.left_out = 0;
        apr_thread_mutex_lock(mutex);
        if (all || is_over(&lines[i], apr_time_now())) {
            line = lines[i];
            lines[i].left_out = 0;
        }
        apr_thread_mutex_unlock(mutex);
        write_left_out(caller, &line);
    }
}
