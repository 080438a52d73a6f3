/* A process that runs an untrusted program: with an empty environment, an empty
 * directory, no descriptors but its pipes, a process group of its own, and limits on processor
 * time, memory and files. The calls that are not portable (closefrom, pipe2, prctl, mkdtemp) are
 * in this file alone. */
#ifndef SF_SANDBOX_H
#define SF_SANDBOX_H

#include <apr_errno.h>
#include <apr_pools.h>
#include <sys/types.h>

/* The exit status of a process that could not become the program. */
#define SF_SANDBOX_NOT_STARTED 127

/* The program and its limits. */
typedef struct {
    const char *name; /* begins the name of the process's directory: "serverless-build" */
    const char *const *arguments;   /* the program's path, its arguments, NULL */
    unsigned int processor_seconds; /* after which the kernel kills it */
    apr_size_t data_bytes;          /* of memory that it may write to */
} sf_sandbox_program;

/* A process that has been started. */
typedef struct {
    pid_t pid;
    int input;             /* writes to its standard input; does not block */
    int output;            /* reads its standard output; does not block */
    const char *directory; /* a path until the process removes the name */
} sf_sandbox;

/* Starts `program`. The process cannot write to files (RLIMIT_FSIZE is 0), dumps no core, writes
 * its errors to /dev/null, and is killed when the thread that started it ends. It runs as
 * httpd's user. Returns APR_SUCCESS with `sandbox` filled in, which sf_sandbox_end() must end;
 * or the errno of the directory, pipe or fork that failed, with nothing left behind. A program
 * that cannot be executed is not an error here: the process ends with SF_SANDBOX_NOT_STARTED. */
apr_status_t sf_sandbox_start(apr_pool_t *pool, const sf_sandbox_program *program,
                              sf_sandbox *sandbox);

/* Closes the process's standard input, so that it reads the end of it. */
void sf_sandbox_close_input(sf_sandbox *sandbox);

/* Kills the process group, waits for the process and releases its pipes and directory. Returns
 * its status as waitpid() writes it. */
int sf_sandbox_end(sf_sandbox *sandbox);

#endif
