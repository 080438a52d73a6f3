/* The head of the frame CALL: a request as an isolate gets it. */
#ifndef SF_CALL_HEAD_H
#define SF_CALL_HEAD_H

#include "core/json_writer.h"
#include "runtime/domains/domain.h"

/* Returns whether a Function may see a header of a request. */
int sf_call_head_shows(const char *name);

/* Returns whether the headers of a request are too many or too long for a Function. */
int sf_call_head_is_too_large(const request_rec *r);

/* Writes the head, which has secrets: the caller wipes it. Returns OK, or HTTP_SERVICE_UNAVAILABLE where the
 * Environment's Variables cannot be had, which has been logged. */
int sf_call_head_write(const sf_domain_request *request, sf_json_writer *writer);

#endif
