/* Licensed under the Apache License, Version 2.0; see LICENSE.
 *
 * serverless-runner: starts, limits and kills the processes that run Functions. README.md describes it. */
#include "runtime/runner/config.h"
#include "runtime/runner/log.h"
#include "runtime/runner/runner.h"

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_getopt.h>
#include <apr_strings.h>
#include <stdio.h>
#include <unistd.h>

enum { DONE, FAILED, WRONG_USAGE };

static const char usage[] = "Usage: serverless-runner [-t] -c FILE\n"
                            "\n"
                            "  -c FILE   the configuration file\n"
                            "  -t        check the file, and do nothing else\n"
                            "\n"
                            "SIGTERM stops the runner, SIGHUP hands over to a new one with the\n"
                            "configuration of now, SIGUSR1 logs its status.\n";

typedef struct {
    const char *file;
    int is_check;
} options;

/* Reads the arguments. Returns whether they are right. */
static int read_arguments(apr_pool_t *pool, int count, const char *const *arguments,
                          options *options)
{
    apr_getopt_t *state;
    char option;
    const char *value;
    apr_status_t rv;

    apr_getopt_init(&state, pool, count, arguments);
    state->errfn = NULL;
    while ((rv = apr_getopt(state, "c:t", &option, &value)) == APR_SUCCESS) {
        if (option == 'c') {
            options->file = value;
        }
        else {
            options->is_check = 1;
        }
    }
    return rv == APR_EOF && state->ind == count && options->file;
}

/* Returns why the runner cannot run as configured, or NULL. */
static const char *check_levels(const sf_runner_config *config)
{
    if (config->isolation != SF_ISOLATION_NONE) {
        return "this runner has no other level of Isolation than none";
    }
    if (config->egress != SF_EGRESS_HOST) {
        return "Isolation none goes with Egress host alone: it isolates nothing";
    }
    return geteuid() == 0 ? "the runner must not run as root: Functions would" : NULL;
}

/* Returns the path of this program: a new runner starts from it, whatever the directory is by then. */
static char *path_of_program(apr_pool_t *pool, const char *name)
{
    char *path;

    if (apr_filepath_merge(&path, NULL, name, APR_FILEPATH_NOTRELATIVE, pool) != APR_SUCCESS) {
        return apr_pstrdup(pool, name);
    }
    return path;
}

static int run(apr_pool_t *pool, int count, const char *const *arguments)
{
    options options = { 0 };
    sf_runner_config *config;
    const char *message;
    char *again[] = { NULL, "-c", NULL, NULL };

    if (!read_arguments(pool, count, arguments, &options)) {
        (void)fputs(usage, stderr);
        return WRONG_USAGE;
    }
    message = sf_runner_config_read(pool, options.file, &config);
    message = message ? message : check_levels(config);
    if (!message && !options.is_check) {
        again[0] = path_of_program(pool, arguments[0]);
        again[2] = apr_pstrdup(pool, options.file);
        message = sf_runner_run(pool, config, again);
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
    status = run(pool, count, arguments);
    apr_pool_destroy(pool);
    apr_terminate();
    return status;
}
