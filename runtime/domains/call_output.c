#include "runtime/domains/call_output.h"

#include "core/request_id.h"

#include <apr_strings.h>
#include <http_log.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

void sf_call_output_begin(sf_call_output *output, const sf_domain_request *request)
{
    output->server = request->r->server;
    apr_cpystrn(output->request, sf_request_id(request->r), sizeof(output->request));
    apr_cpystrn(output->environment, request->route.environment, sizeof(output->environment));
    apr_cpystrn(output->version, request->file->version, sizeof(output->version));
}

void sf_call_output_add(sf_call_output *output, sf_output_level level, const char *text,
                        apr_size_t length)
{
    static const int levels[] = { APLOG_INFO, APLOG_WARNING, APLOG_ERR };

    ap_log_error(APLOG_MARK, levels[level], 0, output->server, "%s: Function %s: %.*s",
                 output->request, output->version, (int)length, text);
}

void sf_call_output_add_frame(sf_call_output *output, const sf_frame *frame)
{
    const unsigned char level = frame->payload[0];

    sf_call_output_add(output, level <= SF_OUTPUT_ERROR ? (sf_output_level)level : SF_OUTPUT_ERROR,
                       (const char *)frame->payload + 1, frame->length - 1);
}

void sf_call_output_end(sf_call_output *output)
{
    output->server = NULL;
}
