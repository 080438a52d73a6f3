/* The output of a lease's call, until its isolate says IDLE: it may come after the request has ended. call_log.h keeps
 * it; most calls print nothing, and have no log. */
#ifndef SF_CALL_OUTPUT_H
#define SF_CALL_OUTPUT_H

#include "runtime/domains/call_log.h"
#include "runtime/protocol/frame.h"

typedef struct {
    server_rec *server; /* NULL outside of a call */
    sf_call_ids ids;
    sf_call_log *log; /* NULL before the first entry */
} sf_call_output;

/* Begins the output of a request's call. */
void sf_call_output_begin(sf_call_output *output, const sf_domain_request *request);

/* Adds an entry. */
void sf_call_output_add(sf_call_output *output, sf_call_level level, const char *text,
                        apr_size_t length);

/* Adds the entry of a LOG frame. */
void sf_call_output_add_frame(sf_call_output *output, const sf_frame *frame);

/* Ends the output, and has its entries written. Further calls of this function do nothing. */
void sf_call_output_end(sf_call_output *output);

#endif
