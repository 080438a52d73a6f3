#include "core/db/pipeline_connection.h"

#include <apr_encode.h>
#include <apr_strings.h>
#include <poll.h>
#include <string.h>

void sf_line_close(sf_line *line)
{
    PGconn *native = line->session ? line->session->native : NULL;

    if (!native) {
        return;
    }
    if (PQstatus(native) == CONNECTION_OK
        && (line->writes || line->stale || line->broken || !PQexitPipelineMode(native))) {
        sf_session_reset(line->session);
    }
    PQsetnonblocking(native, 0);
    line->session->state.credentials_tag[0] = '\0'; /* which only a batch asks for */
    sf_session_close(line->server, line->session);
    line->session = NULL;
}

/* What apr_dbd has prepared on this connection goes by the same name. */
static void learn_statements(sf_line *line)
{
    int i;

    for (i = 0; i < SF_STATEMENT_COUNT; i++) {
        line->known[i] = line->session->prepared[i] ? SF_LINE_BY_APR_DBD : SF_LINE_UNKNOWN;
    }
}

/* Whoever must wait for a lock would have all others wait. */
static int limit_locks(sf_line *line, const sf_caller *caller)
{
    return !line->writes
           || sf_session_control(caller, line->session, "SET lock_timeout = '20ms'") == SF_DB_OK;
}

static int open_line(sf_line *line, const sf_caller *caller)
{
    sf_line_close(line);
    if (sf_session_open(caller, line->server, &line->session) != SF_DB_OK) {
        line->session = NULL;
        return 0;
    }
    line->broken = 0;
    learn_statements(line);
    line->stale = !limit_locks(line, caller) || PQsetnonblocking(line->session->native, 1) != 0
                  || !PQenterPipelineMode(line->session->native);
    return !line->stale;
}

int sf_line_ready(sf_line *line, const sf_caller *caller)
{
    return (line->session && !line->stale && !line->broken && sf_session_is_alive(line->session))
           || open_line(line, caller);
}

void sf_line_add(sf_line *line, sf_statement_id id, const char *const *values)
{
    line->batch[line->count++] = (sf_line_statement){ .id = id, .values = values };
}

/* PostgreSQL finds out the types, but for a parameter that is not used: that is said to be text. */
static int write_preparation(PGconn *native, const sf_statement *statement)
{
    static const Oid text = 25; /* TEXTOID, which libpq does not export */
    Oid types[SF_STATEMENT_MAX_PARAMETERS] = { 0 };
    int i;

    for (i = 0; i < SF_STATEMENT_MAX_UNUSED && statement->unused[i]; i++) {
        types[statement->unused[i] - 1] = text;
    }
    return PQsendPrepare(native, statement->name, statement->sql, statement->parameters, types);
}

/* A statement's values as libpq takes them. */
typedef struct {
    const char *values[SF_STATEMENT_MAX_PARAMETERS];
    int lengths[SF_STATEMENT_MAX_PARAMETERS]; /* of those in binary */
    int formats[SF_STATEMENT_MAX_PARAMETERS]; /* 1 is binary */
    unsigned char uuids[SF_STATEMENT_MAX_PARAMETERS][SF_UUID_BYTES];
} arguments;

_Static_assert(SF_STATEMENT_MAX_PARAMETERS <= 32, "there is a bit for each");

/* Uuids go in binary: two of them as text would take PostgreSQL 0.6 of the 9 microseconds of a fetch.
 * One with dashes, or that is none, goes as text. */
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

/* Writes one statement, and its preparation where the session does not know it. */
static int write_statement(sf_line *line, sf_line_statement *one)
{
    const sf_statement *statement = &sf_statements[one->id];
    PGconn *native = line->session->native;
    unsigned int uuids;
    arguments to;
    int i;

    if (line->known[one->id] == SF_LINE_UNKNOWN) {
        line->known[one->id] = SF_LINE_OWN;
        one->prepares = 1;
        if (!write_preparation(native, statement)) {
            return 0;
        }
    }
    uuids = line->known[one->id] == SF_LINE_OWN ? statement->uuids : 0;
    for (i = 0; one->values && i < statement->parameters; i++) {
        set_argument(&to, i, one->values[i], (uuids & 1U << i) != 0);
    }
    return PQsendQueryPrepared(native, statement->name, statement->parameters, to.values,
                               to.lengths, to.formats, 0);
}

void sf_line_send(sf_line *line)
{
    int i;

    line->opening = (sf_line_statement){ .id = SF_STATEMENT_CREDENTIALS_TAG };
    line->opened = line->writes;
    line->uncommitted = line->done = 0;
    if (!line->opened) {
        line->broken = !write_statement(line, &line->opening);
    }
    for (i = 0; i < line->count && !line->broken; i++) {
        line->broken = !write_statement(line, &line->batch[i]);
    }
    line->broken = line->broken || !PQpipelineSync(line->session->native);
}

/* The batch has been opened: what follows ran under this tag. */
static void open_batch(sf_line *line)
{
    char *tag = line->session->state.credentials_tag;
    PGresult *result = line->opening.result;

    line->opened = 1;
    *tag = '\0';
    if (PQresultStatus(result) == PGRES_TUPLES_OK) {
        apr_cpystrn(tag, PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : "",
                    SF_UUID_LENGTH + 1);
        PQclear(result);
        line->opening.result = NULL;
    }
}

const PGresult *sf_line_opening_error(const sf_line *line)
{
    return line->opening.result;
}

/* Takes the result of preparing a statement, or of the statement. */
static void take_result(sf_line *line, PGresult *result)
{
    sf_line_statement *one = line->opened ? &line->batch[line->answered] : &line->opening;

    if (one->prepares) {
        one->prepares = 0;
        if (PQresultStatus(result) != PGRES_COMMAND_OK) {
            line->known[one->id] = SF_LINE_UNKNOWN;
            one->unprepared = 1;
            one->result = result; /* the statement itself will have been skipped */
            return;
        }
    }
    else {
        if (!one->unprepared) {
            one->result = result;
            result = NULL;
        }
        if (line->opened) {
            line->answered++;
        }
        else {
            open_batch(line);
        }
    }
    PQclear(result);
}

/* Of a batch of writes, when its end has been answered: until then nobody takes its results. Those of
 * reads are taken as they come. */
static int is_done(const sf_line *line)
{
    int i;

    for (i = 0; i < line->answered; i++) {
        if (PQresultStatus(line->batch[i].result) != PGRES_TUPLES_OK) {
            return 0;
        }
    }
    return !line->uncommitted && line->answered == line->count;
}

/* Takes the results that are there. libpq has a NULL at the end of each statement's: two in a row, and
 * it expects no more. */
static sf_line_news take_results(sf_line *line)
{
    PGconn *native = line->session->native;
    int ends = 0;

    while (!PQisBusy(native) && ends < 2) {
        PGresult *result = PQgetResult(native);

        ends = result ? 0 : ends + 1;
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            line->done = line->writes && is_done(line);
            return SF_LINE_ALL;
        }
        if (result && (!line->opened || line->answered < line->count)) {
            take_result(line, result);
        }
        else {
            line->uncommitted |= result != NULL;
            PQclear(result);
        }
    }
    line->broken = line->broken || ends == 2;
    return SF_LINE_SOME;
}

sf_line_news sf_line_read(sf_line *line, apr_interval_time_t timeout)
{
    PGconn *native = line->session->native;
    struct pollfd socket = { PQsocket(native), POLLIN, 0 };
    sf_line_news news;

    if (line->broken) {
        return SF_LINE_SOME;
    }
    if (PQflush(native) == 1) {
        socket.events |= POLLOUT;
    }
    if (poll(&socket, 1, (int)((timeout + 999) / 1000)) <= 0 || !(socket.revents & ~POLLOUT)) {
        return SF_LINE_NOTHING;
    }
    line->broken = !PQconsumeInput(native);
    news = take_results(line);
    line->broken = line->broken || PQstatus(native) == CONNECTION_BAD;
    return news;
}

void sf_line_end(sf_line *line)
{
    int i;

    PQclear(line->opening.result);
    line->opening.result = NULL;
    for (i = 0; i < line->count; i++) {
        PQclear(line->batch[i].result);
    }
    line->count = line->answered = 0;
}
