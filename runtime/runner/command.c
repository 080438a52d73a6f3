#include "runtime/runner/command.h"

void sf_command_make(apr_pool_t *pool, const sf_command_request *request,
                     sf_sandbox_program *program)
{
    const sf_cage_isolate *isolate = request->isolate;

    program->arguments = request->program ? sf_cage_program_arguments(pool, request->cage, isolate,
                                                                      request->program)
                                          : sf_cage_isolate_arguments(pool, request->cage, isolate);
    program->environment = sf_cage_environment(pool, request->cage);
    program->directory = isolate->build;
    program->descriptors = request->descriptors;
    program->descriptor_count = request->descriptors[1] < 0 ? 1 : 2;
    program->errors_to_output = 1;
    program->processor_seconds = request->processor_seconds;
    program->data_bytes = sf_cage_data(request->cage, isolate);
    program->file_bytes = SF_CAGE_TEMPORARY;
}
