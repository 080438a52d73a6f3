/* The log of the runner: lines on standard error, for the journal or a file. */
#ifndef SF_RUNNER_LOG_H
#define SF_RUNNER_LOG_H

/* The levels of syslog, by their numbers. */
typedef enum {
    SF_RUNNER_ERROR = 3,
    SF_RUNNER_WARNING = 4,
    SF_RUNNER_NOTICE = 5,
    SF_RUNNER_INFO = 6
} sf_runner_level;

/* Writes a line. Control characters in the text become question marks. A line ends after 1,000 bytes. */
void sf_runner_log(sf_runner_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
