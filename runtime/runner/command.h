/* The program of an isolate, with its limits. */
#ifndef SF_COMMAND_H
#define SF_COMMAND_H

#include "core/process/sandbox.h"
#include "runtime/runner/cage.h"

/* Seconds of processor time of a program without calls. */
#define SF_COMMAND_SECONDS 60

typedef struct {
    const sf_cage *cage;
    const sf_cage_isolate *isolate;
    const int *descriptors; /* of the line and the filter; the latter is -1 where there is none */
    const char *const *program;     /* a program in place of node's, or NULL */
    unsigned int processor_seconds; /* of all its calls */
} sf_command_request;

/* Fills in the program that runs an isolate. */
void sf_command_make(apr_pool_t *pool, const sf_command_request *request,
                     sf_sandbox_program *program);

#endif
