#include "runtime/runner/log.h"

#include <apr_strings.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 1024

static const char *const names[] = { "", "", "", "error", "warning", "notice", "info" };

/* Writes the beginning of a line: its level as the journal reads it where standard error is the journal,
 * else the time and the level. Returns its length. */
static size_t write_head(char *line, sf_runner_level level)
{
    const time_t now = time(NULL);
    struct tm parts;
    char date[32];

    if (getenv("JOURNAL_STREAM")) {
        return (size_t)snprintf(line, LINE_SIZE, "<%d>", level);
    }
    gmtime_r(&now, &parts);
    (void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return (size_t)snprintf(line, LINE_SIZE, "%s %s: ", date, names[level]);
}

void sf_runner_log(sf_runner_level level, const char *format, ...)
{
    char line[LINE_SIZE];
    size_t length = write_head(line, level);
    va_list arguments;
    char *at;

    va_start(arguments, format);
    (void)apr_vsnprintf(line + length, sizeof(line) - length - 1, format, arguments);
    va_end(arguments);
    for (at = line + length; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == '\177') {
            *at = '?';
        }
    }
    *at = '\n';
    if (write(STDERR_FILENO, line, (size_t)(at - line) + 1) < 0) {
        return; /* there is no other place to tell */
    }
}
