#include "core/db/session.h"

#include "core/config.h"
#include "core/db/protocol.h"
#include "core/db/reachability.h"
#include "core/db/result.h"
#include "core/log.h"

#include <apr_atomic.h>
#include <apr_dbd.h>
#include <apr_optional_hooks.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <http_config.h>
#include <http_log.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

/* A session without statement_timeout, and one that is being made, has this instead. */
#define DEFAULT_STATEMENT_TIMEOUT apr_time_from_sec(30)
#define BEGIN_TIMEOUT apr_time_from_sec(5)

/* How long a statement waits for a lock on its connection. */
#define LOCK_TIMEOUT "'50ms'"

/* How long PostgreSQL's message about its own time limit may take. */
#define GRACE apr_time_from_sec(1)

/* A statement or command that is being run. */
typedef struct {
    const sf_caller *caller;
    sf_session *session;
    const char *name;
    sf_statement_id id;
    const char *const *values;
    apr_interval_time_t time_limit;
    sf_rows *rows;
} execution;

static APR_OPTIONAL_FN_TYPE(ap_dbd_open) *dbd_open;
static APR_OPTIONAL_FN_TYPE(ap_dbd_close) *dbd_close;

/* What this child knows of a database. */
typedef struct {
    /* The milliseconds of statement_timeout in its newest session; before the first, the default. */
    volatile apr_uint32_t statement_timeout;

    /* 1 since SF0004 has been logged, until a schema fits: it is not logged with every request. */
    volatile apr_uint32_t mismatch_logged;
} database_record;

/* By the number of the database, which begins at 1. */
static database_record *records;

static database_record *record_of(const sf_caller *caller)
{
    return &records[sf_config_database(caller->server)];
}

/* The sessions of connections in mod_dbd's pool, under the mutex. A session on the list is used by no
 * thread of this module. */
static struct {
    apr_thread_mutex_t *mutex;
    sf_session *first;
} idle;


/* Idle sessions --------------------------------------------------------------------------------- */

static void make_records(apr_pool_t *pool, int databases)
{
    database_record *made = apr_pcalloc(pool, sizeof(*made) * (apr_size_t)(databases + 1));
    int i;

    for (i = 0; i <= databases; i++) {
        made[i].statement_timeout = (apr_uint32_t)apr_time_as_msec(DEFAULT_STATEMENT_TIMEOUT);
    }
    records = made;
}

apr_status_t sf_session_init(apr_pool_t *pool, int databases)
{
    make_records(pool, databases);
    idle.first = NULL;
    return apr_thread_mutex_create(&idle.mutex, APR_THREAD_MUTEX_DEFAULT, pool);
}

/* Lists a session before its connection is given back, unless that is closed. */
static void list_idle(sf_session *session, int database)
{
    if (PQstatus(session->native) != CONNECTION_OK) {
        return;
    }
    session->database = database;
    session->idle_since = apr_time_now();
    apr_thread_mutex_lock(idle.mutex);
    session->next_idle = idle.first;
    idle.first = session;
    apr_thread_mutex_unlock(idle.mutex);
}

/* Takes a session off the list, if it is there, because it is used or destroyed. A cleanup of its
 * connection's pool. */
static apr_status_t unlist(void *session)
{
    sf_session **at;

    apr_thread_mutex_lock(idle.mutex);
    for (at = &idle.first; *at; at = &(*at)->next_idle) {
        if (*at == session) {
            *at = (*at)->next_idle;
            break;
        }
    }
    apr_thread_mutex_unlock(idle.mutex);
    return APR_SUCCESS;
}

/* libpq's handle stays as it is, because mod_dbd may look at it as another thread takes the
 * connection. A connection that another module has taken from the same pool is left alone while it
 * runs a statement. */
void sf_session_close_idle(int database, apr_interval_time_t limit)
{
    const apr_time_t now = apr_time_now();
    sf_session **at = &idle.first;

    if (!idle.mutex) {
        return; /* SF0006 is in the error log */
    }
    apr_thread_mutex_lock(idle.mutex);
    while (*at) {
        sf_session *session = *at;

        if (session->database == database && now - session->idle_since >= limit
            && PQtransactionStatus(session->native) == PQTRANS_IDLE) {
            *at = session->next_idle;
            sf_protocol_end_stream(session->native);
        }
        else {
            at = &session->next_idle;
        }
    }
    apr_thread_mutex_unlock(idle.mutex);
}


/* Connections ----------------------------------------------------------------------------------- */

static PGconn *native_of(const ap_dbd_t *dbd)
{
    return apr_dbd_native_handle(dbd->driver, dbd->handle);
}

/* mod_dbd's hook on a new connection: has libpq put SQLSTATEs into error texts, also after a
 * reconnect. */
static apr_status_t post_connect(apr_pool_t *pool, dbd_cfg_t *cfg, ap_dbd_t *dbd)
{
    (void)pool;
    (void)cfg;
    if (strcmp(apr_dbd_name(dbd->driver), "pgsql") == 0) {
        PQsetErrorVerbosity(native_of(dbd), PQERRORS_VERBOSE);
    }
    return APR_SUCCESS;
}

void sf_session_register_hooks(void)
{
    APR_OPTIONAL_HOOK(dbd, post_connect, post_connect, NULL, NULL, APR_HOOK_MIDDLE);
}

int sf_session_post_config(void)
{
    dbd_open = APR_RETRIEVE_OPTIONAL_FN(ap_dbd_open);
    dbd_close = APR_RETRIEVE_OPTIONAL_FN(ap_dbd_close);
    sf_reachability_use(dbd_close);
    return dbd_open && dbd_close;
}

/* Reads the bytes that have arrived, so that libpq sees the end of the stream where the server has
 * closed it. An error text comes before that, hence a few reads. */
static void read_pending(PGconn *connection)
{
    struct pollfd socket = { PQsocket(connection), POLLIN, 0 };
    int reads = 0;

    while (reads++ < 4 && poll(&socket, 1, 0) > 0 && PQconsumeInput(connection)) {
    }
}

int sf_session_is_alive(const sf_session *session)
{
    read_pending(session->native);
    return PQstatus(session->native) == CONNECTION_OK;
}

void sf_session_drop(const sf_session *session)
{
    sf_protocol_drop(session->native);
}

void sf_session_close(server_rec *server, sf_session *session)
{
    PQsetnonblocking(session->native, 0); /* as mod_dbd gave it */
    list_idle(session, sf_config_database(server));
    sf_reachability_close(sf_config_database(server), server, session->dbd);
}

/* Returns the session kept with a connection; makes it at the connection's first use. */
static sf_session *session_of(ap_dbd_t *dbd)
{
    static const char key[] = "serverless_functions_session";
    sf_session *session;
    void *data = NULL;

    apr_pool_userdata_get(&data, key, dbd->pool);
    if (data) {
        return data;
    }
    session = apr_pcalloc(dbd->pool, sizeof(*session));
    session->dbd = dbd;
    session->native = native_of(dbd);
    apr_pool_userdata_setn(session, key, unlist, dbd->pool);
    return session;
}

/* Returns the first line of libpq's message, which names host, role and database, and no password. */
static const char *first_line(apr_pool_t *pool, const char *message)
{
    return apr_pstrmemdup(pool, message, strcspn(message, "\n"));
}

/* The parameters of libpq for DBDParams, where they do not say otherwise. */
static const char *const connect_names[] = { "connect_timeout", "dbname", NULL };
#define CONNECT_VALUES(params)                                                                     \
    {                                                                                              \
        "2", params, NULL                                                                          \
    }

/* Connects as mod_dbd has tried to, which keeps libpq's reason to itself. Returns the reason. `began` is
 * when mod_dbd began: after a long wait in vain there is no second one. */
static const char *connection_failure(const sf_caller *caller, server_rec *server, apr_time_t began)
{
    const char *params = sf_config_db_params(server);
    const char *const values[] = CONNECT_VALUES(params);
    const char *reason;
    PGconn *connection;

    if (!params) {
        return "the line of mod_dbd before has the reason";
    }
    if (apr_time_now() - began >= apr_time_from_sec(1)) {
        return "it did not answer within connect_timeout";
    }
    connection = PQconnectdbParams(connect_names, values, 1);
    reason = PQstatus(connection) == CONNECTION_OK
                 ? "mod_dbd had none, though it can be made"
                 : first_line(caller->pool, PQerrorMessage(connection));
    PQfinish(connection);
    return reason;
}

/* Takes a connection of mod_dbd's pool and reconnects it where the server has closed it. Returns
 * NULL where that fails. */
static ap_dbd_t *take_connection(const sf_caller *caller, server_rec *server)
{
    const apr_time_t began = apr_time_now();
    ap_dbd_t *dbd = dbd_open(caller->pool, server);

    if (!dbd) {
        sf_log_limited(caller, APLOG_ERR, "SF0001", "no connection to the database: %s",
                       connection_failure(caller, server, began));
        return NULL;
    }
    unlist(session_of(dbd));
    read_pending(native_of(dbd));
    if (apr_dbd_check_conn(dbd->driver, caller->pool, dbd->handle) != APR_SUCCESS) {
        sf_log_limited(caller, APLOG_ERR, "SF0002",
                       "the connection to the database was lost and cannot be made again: %s",
                       first_line(caller->pool, PQerrorMessage(native_of(dbd))));
        dbd_close(server, dbd);
        return NULL;
    }
    return dbd;
}


/* Statements ------------------------------------------------------------------------------------ */

/* Logs that the deadline has passed, and gives up the connection. */
static sf_db_result give_up(const execution *e, const char *doing)
{
    sf_log_limited(e->caller, APLOG_ERR, "SF0032", "%s %s: no answer from the database in %d ms",
                   doing, e->name, (int)apr_time_as_msec(e->time_limit));
    sf_session_drop(e->session);
    sf_reachability_doubt(sf_config_database(e->caller->server));
    return SF_DB_AWAY;
}

/* Logs the error of the last message, as far as it may be logged, and returns the result that it
 * stands for. `doing` is the verb of the log line, `answer` is NULL where libpq took no message. */
static sf_db_result log_failure(const execution *e, const char *doing, const PGresult *answer)
{
    char *text = apr_pstrdup(e->caller->pool, answer ? PQresultErrorMessage(answer)
                                                     : PQerrorMessage(e->session->native));
    const sf_db_result result = PQstatus(e->session->native) == CONNECTION_BAD
                                    ? SF_DB_CONNECTION_LOST
                                    : sf_db_result_of_error(text);

    if (result == SF_DB_LOCKED) {
        return result; /* the caller tries again, and logs the end of that */
    }
    if (e->id != SF_STATEMENT_SESSION_BEGIN || result != SF_DB_NO_SCHEMA) { /* SF0004 says that */
        sf_db_log_failure(e->caller, doing, e->name, text);
    }
    return result;
}

/* Waits for the answer to a message; `sent` is 0 where libpq did not take it. Returns SF_DB_OK and
 * the answer, which the caller clears; or the failure, which has been logged, and NULL. */
static sf_db_result receive(const execution *e, const char *doing, int sent, PGresult **answer)
{
    sf_db_result result = SF_DB_OK;

    *answer = NULL;
    if (!sent) {
        return log_failure(e, doing, NULL);
    }
    *answer = sf_protocol_receive(e->session->native, apr_time_now() + e->time_limit);
    if (!*answer) {
        return give_up(e, doing);
    }
    if (PQresultStatus(*answer) != PGRES_TUPLES_OK && PQresultStatus(*answer) != PGRES_COMMAND_OK) {
        result = log_failure(e, doing, *answer);
        PQclear(*answer);
        *answer = NULL;
    }
    return result;
}

/* Prepares a statement unless the session knows it. */
static sf_db_result prepare(const execution *e)
{
    sf_db_result result;
    PGresult *answer;

    if (e->session->prepared[e->id]) {
        return SF_DB_OK;
    }
    result
        = receive(e, "preparing", sf_protocol_send_preparation(e->session->native, e->id), &answer);
    PQclear(answer);
    e->session->prepared[e->id] = (char)(result == SF_DB_OK);
    return result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : result;
}

/* Prepares and runs the statement. */
static sf_db_result execute(execution *e)
{
    sf_db_result result = prepare(e);
    PGresult *answer;

    if (result != SF_DB_OK) {
        return result;
    }
    result = receive(e, "executing",
                     sf_protocol_send_statement(e->session->native, e->id, e->values), &answer);
    if (result == SF_DB_OK) {
        e->rows = sf_rows_of_libpq(e->caller->pool, answer, &e->session->state);
    }
    return result;
}

static sf_db_result command(const execution *e, const char *doing, const char *text)
{
    PGresult *answer;
    const sf_db_result result = receive(e, doing, PQsendQuery(e->session->native, text), &answer);

    PQclear(answer);
    return result;
}

/* The same, under ServerlessDeleteTimeout. statement_timeout belongs to the session, which other
 * requests use next: it is reset to the value of DBDParams. */
static sf_db_result execute_long(execution *e)
{
    const apr_interval_time_t limit = sf_config_delete_timeout(e->caller->r);
    sf_db_result result
        = command(e, "setting the time limit of",
                  apr_psprintf(e->caller->pool, "SET statement_timeout = %" APR_TIME_T_FMT,
                               apr_time_as_msec(limit)));

    if (result != SF_DB_OK) {
        return result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : result; /* it was not sent */
    }
    e->time_limit = limit + GRACE;
    result = execute(e);
    e->time_limit = e->session->time_limit;
    if (PQstatus(e->session->native) == CONNECTION_OK
        && command(e, "resetting the time limit of", "RESET statement_timeout") != SF_DB_OK) {
        sf_session_drop(e->session); /* a session must not keep the other limit */
    }
    return result;
}

sf_db_result sf_session_run(const sf_caller *caller, sf_session *session, sf_statement_id id,
                            const char *const *values, sf_rows **rows)
{
    execution e
        = { caller, session, sf_statements[id].name, id, values, session->time_limit, NULL };
    const sf_db_result result
        = sf_statements[id].kind == SF_LONG_WRITE ? execute_long(&e) : execute(&e);

    *rows = e.rows;
    return result;
}

apr_interval_time_t sf_session_lock_limit(const sf_caller *caller, sf_statement_kind kind)
{
    if (kind == SF_LONG_WRITE) {
        return sf_config_delete_timeout(caller->r);
    }
    if (!records) {
        return 0; /* SF0006 is in the error log */
    }
    return apr_time_from_msec(apr_atomic_read32(&record_of(caller)->statement_timeout));
}

sf_db_result sf_session_be_patient(const sf_caller *caller, sf_session *session, int patient)
{
    const sf_db_result result = sf_session_command(
        caller, session, patient ? "SET lock_timeout = 0" : "SET lock_timeout = " LOCK_TIMEOUT);

    if (result != SF_DB_OK) {
        sf_session_drop(session);
    }
    return result;
}

sf_db_result sf_session_command(const sf_caller *caller, sf_session *session, const char *text)
{
    const execution e
        = { caller, session, "a command", SF_STATEMENT_COUNT, NULL, session->time_limit, NULL };

    return command(&e, text, text);
}


/* Sessions -------------------------------------------------------------------------------------- */

#define APPLY_SCHEMA                                                                               \
    "run \"serverless-admin schema apply\" and \"serverless-admin grant ROLE\" with the role in "  \
    "DBDParams"
#define UPGRADE_MODULE "install the module that was made for it"

static void log_schema_mismatch(const sf_caller *caller, const char *found, const char *remedy)
{
    if (apr_atomic_xchg32(&record_of(caller)->mismatch_logged, 1) == 0) {
        sf_log(caller, APLOG_CRIT, "SF0004",
               "the database schema is %s, this module needs version %d: %s", found,
               SF_SCHEMA_VERSION, remedy);
    }
}

/* Returns the time limit for statements of a session with this statement_timeout, in seconds. */
static apr_interval_time_t time_limit_of(const char *statement_timeout)
{
    const double seconds = statement_timeout ? strtod(statement_timeout, NULL) : 0;

    return GRACE
           + (seconds > 0 ? (apr_interval_time_t)(seconds * APR_USEC_PER_SEC)
                          : DEFAULT_STATEMENT_TIMEOUT);
}

/* Reads the row of session_begin: schema version, key of page tokens and statement_timeout. Returns 1 where the schema
 * has the version that the statements are written for. */
static int read_session_begin(const sf_caller *caller, sf_session *session, sf_rows *rows)
{
    const int has_row = sf_rows_count(rows) == 1;
    const char *version = has_row ? sf_rows_value(rows, 0, 0) : NULL;
    const char *key = has_row ? sf_rows_value(rows, 0, 1) : NULL;
    int i;

    if (!version || atoi(version) != SF_SCHEMA_VERSION || !key
        || strlen(key) != 2 * SF_DB_KEY_BYTES) {
        log_schema_mismatch(
            caller, version ? apr_psprintf(caller->pool, "version %s", version) : "empty",
            version && atoi(version) > SF_SCHEMA_VERSION ? UPGRADE_MODULE : APPLY_SCHEMA);
        return 0;
    }
    for (i = 0; i < SF_DB_KEY_BYTES; i++) {
        const char digits[] = { key[2 * i], key[2 * i + 1], '\0' };

        session->state.page_token_key[i] = (unsigned char)strtol(digits, NULL, 16);
    }
    session->time_limit = time_limit_of(sf_rows_value(rows, 0, 2));
    apr_atomic_set32(&record_of(caller)->statement_timeout,
                     (apr_uint32_t)apr_time_as_msec(session->time_limit - GRACE));
    apr_atomic_set32(&record_of(caller)->mismatch_logged, 0);
    return 1;
}

static sf_db_result check_schema(const sf_caller *caller, sf_session *session)
{
    sf_rows *rows;
    const sf_db_result result
        = sf_session_run(caller, session, SF_STATEMENT_SESSION_BEGIN, NULL, &rows);

    if (result == SF_DB_OK) {
        session->schema_fits = read_session_begin(caller, session, rows);
    }
    else if (result == SF_DB_NO_SCHEMA) {
        log_schema_mismatch(caller, "not there, or not open to httpd's role", APPLY_SCHEMA);
    }
    return result != SF_DB_OK || session->schema_fits ? result : SF_DB_NO_SCHEMA;
}

/* Empties the record of a session: a new backend knows no prepared statements. Sets the encoding,
 * because the default of environment or role may be another; and lock_timeout, so that no statement
 * holds a connection while it waits for a lock. */
static sf_db_result start_session(const sf_caller *caller, sf_session *session, int backend_pid)
{
    sf_db_result result;

    memset(session->prepared, 0, sizeof(session->prepared));
    session->schema_fits = 0;
    session->time_limit = BEGIN_TIMEOUT;
    result = sf_session_command(caller, session,
                                "SET client_encoding = 'UTF8'; SET lock_timeout = " LOCK_TIMEOUT);
    session->backend_pid = result == SF_DB_OK ? backend_pid : 0;
    return result;
}

/* Makes sure that the connection has a session, and that the schema fits. Until it does, each call
 * checks again. */
static sf_db_result begin_session(const sf_caller *caller, sf_session *session)
{
    const int backend_pid = PQbackendPID(session->native);
    sf_db_result result = SF_DB_OK;

    PQsetnonblocking(session->native, 1);
    if (session->backend_pid != backend_pid) {
        result = start_session(caller, session, backend_pid);
    }
    return result == SF_DB_OK && !session->schema_fits ? check_schema(caller, session) : result;
}

/* Returns the value of a parameter of libpq, or NULL where DBDParams do not have it. */
static const char *parameter(const PQconninfoOption *option, const char *name)
{
    for (; option && option->keyword; option++) {
        if (option->val && strcmp(option->keyword, name) == 0) {
            return option->val;
        }
    }
    return NULL;
}

const char *sf_session_label(apr_pool_t *pool, const server_rec *server)
{
    const char *params = sf_config_db_params(server);
    PQconninfoOption *options = params ? PQconninfoParse(params, NULL) : NULL;
    const char *name = parameter(options, "dbname");
    const char *host = parameter(options, "host");
    const char *label
        = apr_pstrcat(pool, name ? name : "default", "@", host ? host : "default", NULL);

    PQconninfoFree(options);
    return label;
}

const char *sf_session_failure(server_rec *server)
{
    static const char *const reasons[] = {
        [PQPING_OK] = NULL,
        [PQPING_REJECT] = "it starts, ends or recovers, and takes no connections",
        [PQPING_NO_RESPONSE] = "it does not answer at the address in DBDParams",
        [PQPING_NO_ATTEMPT] = "DBDParams cannot be used",
    };
    const char *params = sf_config_db_params(server);
    const char *const values[] = CONNECT_VALUES(params);

    return params ? reasons[PQpingParams(connect_names, values, 1)] : NULL;
}

/* Takes a connection of mod_dbd's pool, one thread at a time. Returns NULL where the database
 * cannot be reached, which has been logged. */
static ap_dbd_t *open_connection(const sf_caller *caller, server_rec *server)
{
    const int database = sf_config_database(server);
    const apr_time_t began = apr_time_now();
    const char *failure = NULL;
    ap_dbd_t *dbd = NULL;
    int doubted;

    if (!sf_reachability_enter(database, sf_config_db_timeout(), &doubted)) {
        sf_log_limited(caller, APLOG_ERR, "SF0033", "the database does not answer");
        return NULL;
    }
    if (doubted) {
        failure = sf_session_failure(server);
    }
    if (failure) {
        sf_log_limited(caller, APLOG_ERR, "SF0001", "no connection to the database: %s", failure);
    }
    else {
        dbd = take_connection(caller, server);
    }
    sf_reachability_leave(database, began, dbd != NULL);
    return dbd;
}

sf_db_result sf_session_open(const sf_caller *caller, server_rec *server, sf_session **session)
{
    ap_dbd_t *dbd = open_connection(caller, server);
    sf_db_result result;

    if (!dbd) {
        return SF_DB_AWAY;
    }
    *session = session_of(dbd);
    result = begin_session(caller, *session);
    if (result == SF_DB_OK) {
        return SF_DB_OK;
    }
    if (result == SF_DB_INVALIDATED) {
        sf_session_drop(*session);
    }
    sf_session_close(server, *session);
    return result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : result;
}
