/* The program of an isolate, with its limits. */
#ifndef SF_COMMAND_H
#define SF_COMMAND_H

#include "core/process/sandbox.h"
#include "runtime/runner/config.h"
#include "runtime/runner/pool.h"

typedef struct {
    const sf_runner_config *config;
    const sf_runtime *runtime;
    const sf_demand *demand;
    const char *folder; /* of the Build */
    int line;           /* the isolate's end */
} sf_command_request;

/* Fills in the program that runs an isolate at the level `none`. */
void sf_command_make(apr_pool_t *pool, const sf_command_request *request,
                     sf_sandbox_program *program);

#endif
