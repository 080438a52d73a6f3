/* Licensed under the Apache License, Version 2.0; see LICENSE.
 *
 * serverless-runner: starts, limits and kills the processes that run Functions. README.md describes it. */
#include "runtime/runner/cage_check.h"
#include "runtime/runner/config.h"
#include "runtime/runner/exec.h"
#include "runtime/runner/log.h"
#include "runtime/runner/runner.h"
#include "runtime/runner/status_print.h"

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_getopt.h>
#include <apr_strings.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DONE, FAILED, WRONG_USAGE };

static const char usage[]
    = "Usage: serverless-runner [-t] -c FILE\n"
      "       serverless-runner -c FILE --status\n"
      "       serverless-runner -c FILE --exec PROGRAM [ARGUMENT...]\n"
      "\n"
      "  -c FILE   the configuration file\n"
      "  -t        check the file, try whether its levels of Isolation and Egress\n"
      "            can be had, and do nothing else\n"
      "  --status  print the status of the runner that runs, as JSON\n"
      "  --exec    run a program as an isolate is run, and print its output\n"
      "\n"
      "SIGTERM stops the runner, SIGHUP hands over to a new one with the\n"
      "configuration of now, SIGUSR1 logs its status.\n";

static const apr_getopt_option_t option_table[] = {
    { NULL, 'c', 1, NULL },     { NULL, 't', 0, NULL }, { "exec", 'e', 0, NULL },
    { "status", 's', 0, NULL }, { NULL, 0, 0, NULL },
};

typedef struct {
    const char *file;
    int is_check;
    int is_status;
    const char *const *program; /* of --exec, or NULL */
} options;

/* Reads the arguments. Returns whether they are right. */
static int read_arguments(apr_pool_t *pool, int count, const char *const *arguments,
                          options *options)
{
    apr_getopt_t *state;
    int option;
    int is_exec = 0;
    const char *value;
    apr_status_t rv;

    apr_getopt_init(&state, pool, count, arguments);
    state->errfn = NULL;
    while ((rv = apr_getopt_long(state, option_table, &option, &value)) == APR_SUCCESS) {
        switch (option) {
        case 'c':
            options->file = value;
            break;
        case 't':
            options->is_check = 1;
            break;
        case 's':
            options->is_status = 1;
            break;
        default:
            is_exec = 1;
        }
    }
    options->program = is_exec ? arguments + state->ind : NULL;
    return rv == APR_EOF && options->file && is_exec == (state->ind < count)
           && is_exec + options->is_check + options->is_status <= 1;
}

/* Returns the path of this program, for a new runner that takes over from it. A name without a folder was found in
 * PATH. */
static char *path_of_program(apr_pool_t *pool, const char *name)
{
    char found[PATH_MAX];
    char *path = NULL;
    const ssize_t length
        = strchr(name, '/') ? -1 : readlink("/proc/self/exe", found, sizeof(found));

    if (length > 0) {
        return apr_pstrmemdup(pool, found, (apr_size_t)length);
    }
    apr_filepath_merge(&path, NULL, name, APR_FILEPATH_NOTRELATIVE, pool);
    return path ? path : apr_pstrdup(pool, name);
}

/* Reads the configuration, and makes and tries the cage. Returns NULL or a message. */
static const char *prepare(apr_pool_t *pool, const options *options, sf_runner_config **config,
                           sf_cage **cage)
{
    const char *message = sf_runner_config_read(pool, options->file, config);

    if (!message && geteuid() == 0) {
        message = "the runner must not run as root: Functions would";
    }
    message = message ? message : sf_cage_make(pool, *config, cage);
    return message ? message : sf_cage_check(pool, *cage, *config);
}

/* Prints the status of the runner that runs. Returns NULL or a message. */
static const char *print_status(apr_pool_t *pool, const options *options)
{
    sf_runner_config *config;
    const char *message = sf_runner_config_read(pool, options->file, &config);

    return message ? message : sf_status_print(pool, config->control);
}

/* Does what the options say, but for --exec. Returns NULL or a message. */
static const char *serve(apr_pool_t *pool, const options *options, const char *program)
{
    sf_runner_config *config;
    sf_cage *cage;
    char *again[] = { path_of_program(pool, program), "-c", NULL, NULL };
    const char *message = prepare(pool, options, &config, &cage);

    if (message || options->is_check) {
        return message;
    }
    again[2] = apr_pstrdup(pool, options->file);
    return sf_runner_run(pool, config, cage, again);
}

static int run(apr_pool_t *pool, int count, const char *const *arguments)
{
    const char *name = arguments[0];
    options options = { 0 };
    sf_runner_config *config;
    sf_cage *cage;
    const char *message;

    if (!read_arguments(pool, count, arguments, &options)) {
        (void)fputs(usage, stderr);
        return WRONG_USAGE;
    }
    if (options.program) {
        message = prepare(pool, &options, &config, &cage);
        if (!message) {
            return sf_exec(pool, cage, config, options.program);
        }
    }
    else {
        message = options.is_status ? print_status(pool, &options) : serve(pool, &options, name);
    }
    if (message) {
        sf_runner_log(SF_RUNNER_ERROR, "%s", message);
        return FAILED;
    }
    return DONE;
}

int main(int count, const char *const *arguments)
{
    apr_pool_t *pool;
    int status;

    if (apr_app_initialize(&count, &arguments, NULL) != APR_SUCCESS
        || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        (void)fputs("serverless-runner: APR cannot be initialized\n", stderr);
        return FAILED;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    status = run(pool, count, arguments);
    apr_pool_destroy(pool);
    apr_terminate();
    return status;
}
