#include "runtime/domains/call.h"

#include "core/config.h"
#include "core/metrics.h"
#include "runtime/domains/answer.h"
#include "runtime/domains/call_head.h"
#include "runtime/domains/leases.h"
#include "runtime/domains/request_parts.h"

#include <apr_strings.h>
#include <string.h>

/* How many lines a call takes one after the other, because their isolates had ended before the call was sent. */
#define LINES_MAX 5

/* A body of at most this size goes to the client before httpd looks for IDLE, unless IDLE has come with the answer:
 * httpd keeps such an answer for a slow client, and does not wait for it. */
#define SMALL_BODY 32768

#define TIMED_OUT "runtime application timed out"

typedef struct {
    sf_domain_request *request;
    sf_json_writer head;
    sf_lease *lease;
    apr_time_t deadline;
    int has_failed; /* the Function, as its isolate says */
} call_state;


/* Errors ----------------------------------------------------------------------------------------- */

/* Adds an entry of level ERROR to the Function's log. */
static void log_failure(const call_state *call, const char *text)
{
    sf_call_output_add(&call->lease->output, SF_CALL_ERROR, text, strlen(text));
}

/* Ends a call, and has its isolate killed. */
static int fail(call_state *call, const char *cause, const char *text, int status)
{
    log_failure(call, text);
    sf_leases_kill(call->lease, cause);
    return status;
}

/* Ends a call after the end of its isolate. */
static int fail_with_isolate(call_state *call)
{
    char cause[SF_CAUSE_BYTES];

    sf_leases_find_cause(call->lease, cause);
    return fail(call, "protocol",
                apr_pstrcat(call->request->r->pool, "The isolate has ended: ",
                            *cause ? cause : "for an unknown reason", NULL),
                HTTP_INTERNAL_SERVER_ERROR);
}

/* Ends a call by the result of its line. */
static int fail_with_line(call_state *call, sf_line_result result)
{
    switch (result) {
    case SF_LINE_LATE:
        return fail(call, "timeout", TIMED_OUT, HTTP_GATEWAY_TIME_OUT);
    case SF_LINE_LONG:
        return fail(call, "protocol",
                    apr_psprintf(call->request->r->pool,
                                 "The answer has more than %" APR_OFF_T_FMT " bytes",
                                 sf_config_answer_limit(call->request->r)),
                    HTTP_INTERNAL_SERVER_ERROR);
    case SF_LINE_WRONG:
        return fail(call, "protocol", "The isolate has broken its protocol",
                    HTTP_INTERNAL_SERVER_ERROR);
    default:
        return fail_with_isolate(call);
    }
}


/* Answers ---------------------------------------------------------------------------------------- */

/* Sends the answer, and gives the line back. */
static int send_answer(const call_state *call, sf_answer *answer, int is_buffered)
{
    request_rec *r = call->request->r;

    if (is_buffered) {
        answer->body = apr_pmemdup(r->pool, answer->body, answer->length);
    }
    if (answer->length > SMALL_BODY || sf_line_has_more(&call->lease->line)) {
        sf_leases_give_back(call->lease);
        return sf_answer_send(r, answer);
    }
    sf_answer_send(r, answer);
    sf_leases_give_back(call->lease);
    return OK;
}

/* Ends a call by its answer. */
static int take_answer(call_state *call, const sf_frame *frame)
{
    request_rec *r = call->request->r;
    sf_answer answer;
    const char *reason;
    const sf_answer_result result = sf_answer_read(r->pool, frame, &answer, &reason);

    if (result == SF_ANSWER_WRONG) {
        return fail_with_line(call, SF_LINE_WRONG);
    }
    if ((apr_off_t)answer.length > sf_config_answer_limit(r)) {
        return fail_with_line(call, SF_LINE_LONG);
    }
    if (result == SF_ANSWER_OK) {
        call->has_failed = answer.failed;
        return send_answer(call, &answer, sf_line_is_buffered(&call->lease->line, frame));
    }
    log_failure(call, apr_pstrcat(r->pool, "The answer has ", reason, NULL));
    sf_leases_give_back(call->lease);
    return result == SF_ANSWER_ILLEGAL ? HTTP_INTERNAL_SERVER_ERROR
                                       : HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
}

/* Ends a call by a frame other than LOG. */
static int take_frame(call_state *call, const sf_frame *frame)
{
    switch (frame->type) {
    case SF_FRAME_ANSWER:
        return take_answer(call, frame);
    case SF_FRAME_BAD_REQUEST:
        sf_leases_give_back(call->lease);
        return HTTP_BAD_REQUEST;
    default:
        return fail_with_line(call, SF_LINE_WRONG);
    }
}

/* Waits for the answer. */
static int await_answer(call_state *call)
{
    request_rec *r = call->request->r;
    sf_line_result result;
    sf_frame frame;

    do {
        result = sf_line_next(&call->lease->line, r->pool, call->deadline, &frame);
        if (result == SF_LINE_OK && frame.type == SF_FRAME_LOG) {
            sf_call_output_add_frame(&call->lease->output, &frame);
        }
    } while (result == SF_LINE_OK && frame.type == SF_FRAME_LOG);
    return result == SF_LINE_OK ? take_frame(call, &frame) : fail_with_line(call, result);
}


/* The call --------------------------------------------------------------------------------------- */

/* Adds the time since `begun` to a histogram, and sets a note to it. */
static void observe(request_rec *r, sf_histogram histogram, const char *note, apr_time_t begun)
{
    const sf_caller caller = sf_caller_of(r);
    const apr_interval_time_t time = sf_clock_now() - begun;

    sf_metrics_observe(&caller, histogram, time);
    apr_table_setn(r->notes, note, apr_psprintf(r->pool, "%" APR_TIME_T_FMT, time));
}

/* Takes a line. */
static int take_line(call_state *call)
{
    request_rec *r = call->request->r;
    const apr_time_t begun = sf_clock_now();
    const int status = sf_leases_take(call->request, &call->lease);

    observe(r, SF_HISTOGRAM_ISOLATE, "serverless-isolate-wait", begun);
    if (status == OK) {
        const int is_cold = call->lease->is_cold && call->lease->is_new;

        apr_table_setn(r->notes, "serverless-cold", is_cold ? "1" : "0");
        if (is_cold) {
            sf_metrics_add(SF_METRIC_COLD_CALLS);
        }
    }
    return status;
}

/* Sends the call to an isolate. `*status` is OK, or that of the error with which the call has ended. Returns 0 where
 * the isolate had ended before it got a byte: another one can have the call. */
static int send_call(call_state *call, int *status)
{
    sf_domain_request *request = call->request;
    sf_lease *lease = call->lease;
    const sf_line_call_parts parts
        = { call->head.text, call->head.length, request->body, request->body_length };
    sf_line_result result;
    int begun;

    sf_call_output_begin(&lease->output, request);
    lease->line.answer_max = (size_t)sf_config_answer_limit(request->r);
    call->deadline = sf_clock_now() + sf_config_execution_timeout(request->r);
    result = sf_line_call(&lease->line, &parts, call->deadline, &begun);
    if (result == SF_LINE_CLOSED && !begun) {
        sf_leases_kill(lease, "protocol");
        return 0;
    }
    *status = result == SF_LINE_OK ? OK : fail_with_line(call, result);
    return 1;
}

/* Takes lines until one has the call. */
static int begin(call_state *call)
{
    int lines = 0;
    int status;

    do {
        if (lines++ == LINES_MAX) {
            return HTTP_SERVICE_UNAVAILABLE;
        }
        status = take_line(call);
    } while (status == OK && !send_call(call, &status));
    return status;
}

static int execute(call_state *call)
{
    request_rec *r = call->request->r;
    apr_time_t begun;
    int status = begin(call);

    explicit_bzero(call->head.text, call->head.length);
    if (status != OK) {
        return status;
    }
    begun = sf_clock_now();
    status = await_answer(call);
    observe(r, SF_HISTOGRAM_CALL, "serverless-execution-time", begun);
    return status;
}

/* Counts a call that has ended with a status, unless it is to be repeated. */
static void count(const call_state *call, int status)
{
    switch (status) {
    case SF_DOMAIN_GONE:
        break;
    case OK:
        sf_metrics_add(call->has_failed ? SF_METRIC_CALLS_FAILED : SF_METRIC_CALLS_ANSWERED);
        break;
    case HTTP_BAD_REQUEST:
        sf_metrics_add(SF_METRIC_CALLS_BAD_REQUEST);
        break;
    case HTTP_TOO_MANY_REQUESTS:
        sf_metrics_add(SF_METRIC_CALLS_REFUSED);
        break;
    case HTTP_SERVICE_UNAVAILABLE:
        sf_metrics_add(SF_METRIC_CALLS_UNAVAILABLE);
        break;
    case HTTP_GATEWAY_TIME_OUT:
        sf_metrics_add(SF_METRIC_CALLS_TIMED_OUT);
        break;
    default:
        sf_metrics_add(SF_METRIC_CALLS_FAILED);
    }
}

int sf_call_run(sf_domain_request *request)
{
    call_state call = { .request = request };
    int status;

    if (sf_call_head_is_too_large(request->r)) {
        return HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
    }
    status = sf_request_read_body(request);
    if (status != OK) {
        return status;
    }
    sf_json_writer_begin(&call.head, request->r->pool);
    status = sf_call_head_write(request, &call.head);
    if (status == OK) {
        status = execute(&call);
    }
    count(&call, status);
    return status;
}
