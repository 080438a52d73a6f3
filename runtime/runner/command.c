#include "runtime/runner/command.h"

#include <apr_strings.h>
#include <limits.h>

#define MIB (1024 * 1024)

/* Beyond an isolate's limit: of data, for node itself; and of each file. */
#define MORE_DATA (256LL * MIB)
#define FILE_BYTES (64LL * MIB)

/* Times the time limits of all calls of an isolate. */
#define PROCESSOR_TIMES 2

static unsigned int processor_seconds(const sf_demand *demand)
{
    const apr_int64_t seconds = (apr_int64_t)PROCESSOR_TIMES * demand->timeout * demand->calls;

    return seconds < INT_MAX ? (unsigned int)seconds : INT_MAX;
}

void sf_command_make(apr_pool_t *pool, const sf_command_request *request,
                     sf_sandbox_program *program)
{
    apr_array_header_t *arguments = apr_array_make(pool, 8, sizeof(const char *));
    const char **environment = apr_pcalloc(pool, 2 * sizeof(*environment));
    int *line = apr_palloc(pool, sizeof(*line));

    *line = request->line;
    APR_ARRAY_PUSH(arguments, const char *) = request->runtime->node;
    APR_ARRAY_PUSH(arguments, const char *) = apr_psprintf(
        pool, "--max-old-space-size=%d", (int)(request->demand->memory / MIB / 4 * 3));
    APR_ARRAY_PUSH(arguments, const char *) = request->config->isolate;
    APR_ARRAY_PUSH(arguments, const char *) = request->folder;
    APR_ARRAY_PUSH(arguments, const char *) = NULL;
    if (request->config->twilio) {
        environment[0] = apr_pstrcat(pool, "NODE_PATH=", request->config->twilio, NULL);
    }
    program->environment = environment;
    program->name = "serverless-isolate";
    program->arguments = (const char *const *)arguments->elts;
    program->directory = request->folder;
    program->descriptors = line;
    program->descriptor_count = 1;
    program->errors_to_output = 1;
    program->processor_seconds = processor_seconds(request->demand);
    program->data_bytes = (apr_size_t)(request->demand->memory + MORE_DATA);
    program->file_bytes = FILE_BYTES;
}
