#include "core/db/pipeline_connection.h"

#include "core/db/protocol.h"

#include <apr_strings.h>
#include <poll.h>
#include <string.h>


/* The connection -------------------------------------------------------------------------------- */

void sf_pipeline_close(sf_pipeline *p)
{
    if (!p->session) {
        return;
    }
    sf_session_drop(
        p->session); /* a session with another lock_timeout must not go back to the pool */
    p->session->state.credentials_epoch[0] = '\0'; /* known to the answers of a batch only */
    sf_session_close(p->server, p->session);
    p->session = NULL;
    p->state = SF_PIPELINE_CLOSED;
}

/* Prepares the session of a new connection for batches. Batches of writes get a short lock_timeout:
 * a statement that waits for a lock would have the whole batch wait. Reads wait for changes of the
 * schema only. Returns 0 on failure. */
static int set_up(const sf_pipeline *p, const sf_caller *caller)
{
    const char *lock_timeout = p->writes ? "SET lock_timeout = '20ms'" : "SET lock_timeout = 0";

    return sf_session_command(caller, p->session, lock_timeout) == SF_DB_OK
           && PQenterPipelineMode(p->session->native);
}

int sf_pipeline_ensure_open(sf_pipeline *p, const sf_caller *caller)
{
    if (p->state == SF_PIPELINE_READY && sf_session_is_alive(p->session)) {
        return 1;
    }
    sf_pipeline_close(p);
    if (sf_session_open(caller, p->server, &p->session) != SF_DB_OK) {
        p->session = NULL;
        return 0;
    }
    p->state = set_up(p, caller) ? SF_PIPELINE_READY : SF_PIPELINE_STALE;
    return p->state == SF_PIPELINE_READY;
}

void sf_pipeline_mark_stale(sf_pipeline *p)
{
    if (p->state == SF_PIPELINE_READY) {
        p->state = SF_PIPELINE_STALE;
    }
}


/* Sending --------------------------------------------------------------------------------------- */

void sf_pipeline_add(sf_pipeline *p, sf_statement_id id, const char *const *values)
{
    p->batch[p->count++] = (sf_batch_statement){ .id = id, .values = values };
}

/* Sends one statement, after its preparation where the session does not know it. Returns 0 where
 * libpq does not take it. */
static int write_statement(sf_pipeline *p, sf_batch_statement *one)
{
    PGconn *native = p->session->native;

    if (!p->session->prepared[one->id]) {
        p->session->prepared[one->id] = 1;
        one->preparing = 1;
        if (!sf_protocol_send_preparation(native, one->id)) {
            return 0;
        }
    }
    return sf_protocol_send_statement(native, one->id, one->values);
}

void sf_pipeline_send(sf_pipeline *p)
{
    int written = 1;
    int i;

    p->opening = (sf_batch_statement){ .id = SF_STATEMENT_CREDENTIALS_EPOCH };
    p->batch_state = SF_BATCH_EXECUTING;
    if (!p->writes) {
        p->batch_state = SF_BATCH_OPENING;
        written = write_statement(p, &p->opening);
    }
    for (i = 0; i < p->count && written; i++) {
        written = write_statement(p, &p->batch[i]);
    }
    if (!written || !PQpipelineSync(p->session->native)) {
        p->state = SF_PIPELINE_BROKEN;
    }
}


/* Reading --------------------------------------------------------------------------------------- */

/* The opening has been answered: the statements after it ran in this epoch, "" where there is
 * none. */
static void finish_opening(sf_pipeline *p)
{
    char *epoch = p->session->state.credentials_epoch;
    PGresult *answer = p->opening.answer;

    *epoch = '\0';
    if (PQresultStatus(answer) != PGRES_TUPLES_OK) {
        p->batch_state = SF_BATCH_OPENING_FAILED;
        return;
    }
    p->batch_state = SF_BATCH_EXECUTING;
    apr_cpystrn(epoch, PQntuples(answer) == 1 ? PQgetvalue(answer, 0, 0) : "", SF_UUID_LENGTH + 1);
    PQclear(answer);
    p->opening.answer = NULL;
}

static void take_preparation(sf_pipeline *p, sf_batch_statement *one, PGresult *result)
{
    one->preparing = 0;
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        PQclear(result);
        return;
    }
    p->session->prepared[one->id] = 0;
    one->preparation_error = 1;
    one->answer = result;
}

/* Stores a result of the first statement without an answer: of its preparation or of itself. A
 * result after the last statement's is an error of the commit. */
static void take_result(sf_pipeline *p, PGresult *result)
{
    const int is_opening = p->batch_state == SF_BATCH_OPENING;
    sf_batch_statement *one = is_opening ? &p->opening : &p->batch[p->answered];

    if (!is_opening && p->answered == p->count) {
        if (p->batch_state == SF_BATCH_EXECUTING) {
            p->batch_state = SF_BATCH_COMMIT_FAILED;
        }
        PQclear(result);
        return;
    }
    if (one->preparing) {
        take_preparation(p, one, result);
        return;
    }
    if (one->preparation_error) {
        PQclear(result); /* the statement was skipped, and `answer` is the reason */
    }
    else {
        one->answer = result;
    }
    if (is_opening) {
        finish_opening(p);
    }
    else {
        p->answered++;
    }
}

/* The Sync has been answered. The answers to writes are all there, since they are taken after that;
 * those to reads may have been taken, and need not be looked at: a read that fails undoes
 * nothing. */
static void finish_batch(sf_pipeline *p)
{
    int i;

    if (p->batch_state != SF_BATCH_EXECUTING) {
        return;
    }
    p->batch_state = SF_BATCH_COMMITTED;
    for (i = 0; p->writes && i < p->count; i++) {
        if (PQresultStatus(p->batch[i].answer) != PGRES_TUPLES_OK) {
            p->batch_state = SF_BATCH_ROLLED_BACK;
        }
    }
}

/* Takes all results that have arrived. libpq ends each statement's results with NULL; a second NULL
 * means that it expects no more, although the Sync is not answered. */
static sf_answers take_results(sf_pipeline *p)
{
    PGconn *native = p->session->native;
    int nulls = 0;

    while (!PQisBusy(native) && nulls < 2) {
        PGresult *result = PQgetResult(native);

        if (!result) {
            nulls++;
        }
        else if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            finish_batch(p);
            return SF_ANSWERS_ALL;
        }
        else {
            nulls = 0;
            take_result(p, result);
        }
    }
    if (nulls == 2) {
        p->state = SF_PIPELINE_BROKEN;
    }
    return SF_ANSWERS_SOME;
}

sf_answers sf_pipeline_read(sf_pipeline *p, apr_interval_time_t timeout)
{
    PGconn *native = p->session->native;
    struct pollfd socket = { PQsocket(native), POLLIN, 0 };
    sf_answers answers;

    if (p->state == SF_PIPELINE_BROKEN) {
        return SF_ANSWERS_SOME;
    }
    if (PQflush(native) == 1) {
        socket.events |= POLLOUT;
    }
    /* poll takes milliseconds; rounded up, or it would not wait at all for the last of them */
    if (poll(&socket, 1, (int)((timeout + 999) / 1000)) <= 0 || !(socket.revents & ~POLLOUT)) {
        return SF_ANSWERS_NONE;
    }
    if (!PQconsumeInput(native)) {
        p->state = SF_PIPELINE_BROKEN;
    }
    answers = take_results(p);
    if (PQstatus(native) == CONNECTION_BAD) {
        p->state = SF_PIPELINE_BROKEN;
    }
    return answers;
}

void sf_pipeline_give_up(sf_pipeline *p)
{
    sf_session_drop(p->session);
    p->state = SF_PIPELINE_BROKEN;
    p->gave_up = 1;
}

void sf_pipeline_end_batch(sf_pipeline *p)
{
    int i;

    PQclear(p->opening.answer);
    p->opening.answer = NULL;
    for (i = 0; i < p->count; i++) {
        PQclear(p->batch[i].answer);
    }
    p->count = p->answered = 0;
    p->gave_up = 0;
    p->batch_state = SF_BATCH_FILLING;
}
