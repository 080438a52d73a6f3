#include "core/db/protocol.h"

#include "core/sid.h"

#include <apr_encode.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* The most reads until the connection that was shut down is seen to be closed: so many times 8 KiB
 * may have arrived before. */
#define DROP_READS 4096


/* Sending --------------------------------------------------------------------------------------- */

/* PostgreSQL infers the types of the parameters, except of one that is not used: that is declared
 * as text. */
int sf_protocol_send_preparation(PGconn *native, sf_statement_id id)
{
    static const Oid text = 25; /* TEXTOID, which libpq does not export */
    const sf_statement *statement = &sf_statements[id];
    Oid types[SF_STATEMENT_MAX_PARAMETERS] = { 0 };
    int i;

    for (i = 0; i < SF_STATEMENT_MAX_UNUSED && statement->unused[i]; i++) {
        types[statement->unused[i] - 1] = text;
    }
    return PQsendPrepare(native, statement->name, statement->sql, statement->parameters, types);
}

/* A statement's values as PQsendQueryPrepared takes them. */
typedef struct {
    const char *values[SF_STATEMENT_MAX_PARAMETERS];
    int lengths[SF_STATEMENT_MAX_PARAMETERS]; /* of those in binary */
    int formats[SF_STATEMENT_MAX_PARAMETERS]; /* 1 is binary */
    unsigned char uuids[SF_STATEMENT_MAX_PARAMETERS][SF_UUID_BYTES];
} arguments;

_Static_assert(SF_STATEMENT_MAX_PARAMETERS <= 32, "sf_statement.uuids has a bit for each");

/* Sets one value. A uuid of 32 hex digits goes in binary: two of them as text would take PostgreSQL
 * 0.6 of the 9 microseconds of a fetch. Any other value goes as text. */
static void set_argument(arguments *to, int i, const char *value, int is_uuid)
{
    apr_size_t length;

    to->values[i] = value;
    to->formats[i]
        = value && is_uuid && strlen(value) == SF_SID_DIGITS
          && apr_decode_base16_binary(to->uuids[i], value, SF_SID_DIGITS, APR_ENCODE_NONE, &length)
                 == APR_SUCCESS;
    if (to->formats[i]) {
        to->values[i] = (const char *)to->uuids[i];
        to->lengths[i] = SF_UUID_BYTES;
    }
}

int sf_protocol_send_statement(PGconn *native, sf_statement_id id, const char *const *values)
{
    const sf_statement *statement = &sf_statements[id];
    arguments to;
    int i;

    for (i = 0; values && i < statement->parameters; i++) {
        set_argument(&to, i, values[i], (statement->uuids & 1U << i) != 0);
    }
    return PQsendQueryPrepared(native, statement->name, statement->parameters, to.values,
                               to.lengths, to.formats, 0);
}


/* Receiving ------------------------------------------------------------------------------------- */

/* Sends what libpq still has to send, and reads, until PQgetResult() need not wait. Returns 0 where
 * the deadline has passed. A connection that breaks ends the wait, too: PQgetResult() has its
 * error. */
static int wait_for_result(PGconn *native, apr_time_t deadline)
{
    int unsent;

    while ((unsent = PQflush(native)) > 0 || PQisBusy(native)) {
        struct pollfd socket = { PQsocket(native), POLLIN, 0 };
        const apr_interval_time_t left = deadline - apr_time_now();

        if (left <= 0) {
            return 0;
        }
        if (unsent > 0) {
            socket.events |= POLLOUT;
        }
        /* rounded up to milliseconds, so that the last of them is waited for */
        if (PQstatus(native) == CONNECTION_BAD
            || (poll(&socket, 1, (int)((left + 999) / 1000)) > 0 && !PQconsumeInput(native))) {
            return 1;
        }
    }
    return 1;
}

static int is_error(const PGresult *result)
{
    return PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK;
}

PGresult *sf_protocol_receive(PGconn *native, apr_time_t deadline)
{
    PGresult *answer = NULL;
    PGresult *next;

    do {
        if (!wait_for_result(native, deadline)) {
            PQclear(answer);
            return NULL;
        }
        next = PQgetResult(native);
        if (next && answer && is_error(answer)) {
            PQclear(next);
        }
        else if (next) {
            PQclear(answer);
            answer = next;
        }
    } while (next);
    return answer;
}

void sf_protocol_end_stream(const PGconn *native)
{
    if (PQstatus(native) == CONNECTION_OK) {
        shutdown(PQsocket(native), SHUT_RDWR);
    }
}

/* libpq has no function that closes a connection and keeps its handle. shutdown() ends the stream,
 * and reading up to that end has libpq close the socket by itself. */
void sf_protocol_drop(PGconn *native)
{
    int reads = 0;

    sf_protocol_end_stream(native);
    while (PQstatus(native) == CONNECTION_OK && PQconsumeInput(native) && reads++ < DROP_READS) {
    }
}
