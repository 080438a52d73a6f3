#include "runtime/domains/call_output.h"

void sf_call_output_begin(sf_call_output *output, const sf_domain_request *request)
{
    sf_call_output_end(output);
    output->server = request->r->server;
    sf_call_ids_of(&output->ids, request);
}

void sf_call_output_add(sf_call_output *output, sf_call_level level, const char *text,
                        apr_size_t length)
{
    if (!output->log) {
        output->log = sf_call_log_begin(&output->ids);
    }
    if (output->log) {
        sf_call_log_add(output->log, level, text, length);
    }
}

void sf_call_output_add_frame(sf_call_output *output, const sf_frame *frame)
{
    const unsigned char level = frame->payload[0];

    sf_call_output_add(output, level <= SF_CALL_ERROR ? (sf_call_level)level : SF_CALL_ERROR,
                       (const char *)frame->payload + 1, frame->length - 1);
}

void sf_call_output_end(sf_call_output *output)
{
    if (output->log) {
        sf_call_log_end(output->log, output->server);
        output->log = NULL;
    }
    output->server = NULL;
}
