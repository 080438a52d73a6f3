/* A process that runs an untrusted program: with an empty environment, an empty
 * directory, no descriptors but its pipes, a process group of its own, and limits on processor
 * time, memory and files. The calls that are not portable (closefrom, pipe2, prctl, mkdtemp) are
 * in this file alone. */
#ifndef SF_SANDBOX_H
#define SF_SANDBOX_H

#include "core/process/restriction.h"

#include <apr_errno.h>
#include <apr_pools.h>
#include <sys/types.h>

/* The exit status of a process that could not become the program. */
#define SF_SANDBOX_NOT_STARTED 127

/* The lowest descriptor that a process may get beside its pipes. */
#define SF_SANDBOX_FIRST_DESCRIPTOR 3

/* The program and its limits. Members that are not set mean: no environment, no descriptors, an empty
 * directory, no files, no restriction, errors to /dev/null. */
typedef struct {
    const char *name; /* begins the name of the process's directory: "serverless-build" */
    const char *const *arguments;   /* the program's path, its arguments, NULL */
    const char *const *environment; /* "NAME=value", NULL */
    const char *directory;          /* the process's directory, in place of an empty one */
    const int *descriptors;         /* become 3, 4, ... in the process; the caller's stay open */
    int descriptor_count;
    const sf_restriction *restriction; /* NULL: none */
    int errors_to_output;              /* standard error is the pipe of standard output */
    unsigned int processor_seconds;    /* after which the kernel kills it */
    apr_size_t data_bytes;             /* of memory that it may write to */
    apr_off_t file_bytes;              /* of each file that it may write */
} sf_sandbox_program;

/* A process that has been started. */
typedef struct {
    pid_t pid;
    int input;             /* writes to its standard input; does not block */
    int output;            /* reads its standard output; does not block */
    const char *directory; /* the empty one, a path until the process removes the name; or NULL */
} sf_sandbox;

/* Starts `program`. The process dumps no core, and is killed when the thread that started it ends.
 * It runs as the user of its parent. At the end of its processor time it gets SIGXCPU, and a second
 * later SIGKILL. Returns APR_SUCCESS with `sandbox` filled in, which sf_sandbox_end() must end;
 * or the errno of the directory, pipe or fork that failed, with nothing left behind. A program
 * that cannot be executed is not an error here: the process ends with SF_SANDBOX_NOT_STARTED. */
apr_status_t sf_sandbox_start(apr_pool_t *pool, const sf_sandbox_program *program,
                              sf_sandbox *sandbox);

/* Closes the process's standard input, so that it reads the end of it. */
void sf_sandbox_close_input(sf_sandbox *sandbox);

/* Kills the process group. The caller waits for the process itself. */
void sf_sandbox_kill(const sf_sandbox *sandbox);

/* Releases the pipes and the directory of a process that was reaped. */
void sf_sandbox_release(sf_sandbox *sandbox);

/* Kills the process group, waits for the process and releases its pipes and directory. Returns
 * its status as waitpid() writes it. */
int sf_sandbox_end(sf_sandbox *sandbox);

#endif
