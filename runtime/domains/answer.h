/* The answer of a Function, which an isolate has sent: checked as one of a stranger, and sent to the client. */
#ifndef SF_ANSWER_H
#define SF_ANSWER_H

#include "runtime/protocol/frame.h"

#include <httpd.h>

/* The most headers of a request to a Function and of an answer, and the most bytes of their names and values. */
#define SF_HEADERS_MAX 90
#define SF_HEADERS_BYTES_MAX (15 * 1024)

typedef struct {
    int status;
    int failed;           /* the Function has failed, as the isolate says */
    apr_table_t *headers; /* without those that are httpd's own affair */
    const char *body;
    apr_size_t length;
} sf_answer;

typedef enum {
    SF_ANSWER_OK,
    SF_ANSWER_WRONG,           /* it is no answer of the protocol: the isolate is to be killed */
    SF_ANSWER_ILLEGAL,         /* a status or a header that HTTP or the API does not allow */
    SF_ANSWER_TOO_MANY_HEADERS /* or too long ones */
} sf_answer_result;

/* Reads the answer of an ANSWER frame. Texts live as long as `pool`; the body is in the frame. With another
 * result than SF_ANSWER_OK, `*reason` says what is wrong. */
sf_answer_result sf_answer_read(apr_pool_t *pool, const sf_frame *frame, sf_answer *answer,
                                const char **reason);

/* Sends the answer. Its body must live as long as the request. Returns OK. */
int sf_answer_send(request_rec *r, const sf_answer *answer);

#endif
