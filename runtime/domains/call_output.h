/* What a Function prints during a call, and what httpd has to say about the call: its log entries. They may come
 * after the request has ended, until the isolate says IDLE. */
#ifndef SF_CALL_OUTPUT_H
#define SF_CALL_OUTPUT_H

#include "runtime/domains/domain.h"
#include "runtime/protocol/frame.h"

/* The levels of a LOG frame. */
typedef enum { SF_OUTPUT_INFO, SF_OUTPUT_WARNING, SF_OUTPUT_ERROR } sf_output_level;

typedef struct {
    server_rec *server;
    char request[SF_SID_LENGTH + 1];
    char environment[SF_UUID_LENGTH + 1];
    char version[SF_UUID_LENGTH + 1];
} sf_call_output;

/* Begins the output of a request's call. */
void sf_call_output_begin(sf_call_output *output, const sf_domain_request *request);

/* Adds an entry. */
void sf_call_output_add(sf_call_output *output, sf_output_level level, const char *text,
                        apr_size_t length);

/* Adds the entry of a LOG frame. */
void sf_call_output_add_frame(sf_call_output *output, const sf_frame *frame);

/* Ends the output. Further calls of this function do nothing. */
void sf_call_output_end(sf_call_output *output);

#endif
