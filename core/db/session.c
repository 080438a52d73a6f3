#include "core/db/session.h"

#include "core/config.h"
#include "core/db/result.h"
#include "core/log.h"

#include <apr_atomic.h>
#include <apr_dbd.h>
#include <apr_optional_hooks.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_log.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

/* A statement or command that is being run. */
typedef struct {
    const sf_caller *caller;
    sf_session *session;
    const char *name;
    sf_statement_id id;
    const char *const *values;
    sf_rows *rows;
} execution;

static APR_OPTIONAL_FN_TYPE(ap_dbd_open) *dbd_open;
static APR_OPTIONAL_FN_TYPE(ap_dbd_close) *dbd_close;

/* 1 since SF0004 has been logged, until a schema fits: it is not logged with every request. */
static volatile apr_uint32_t schema_mismatch_logged;


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

void sf_session_reset(const sf_session *session)
{
    PQreset(session->native);
}

void sf_session_close(server_rec *server, sf_session *session)
{
    dbd_close(server, session->dbd);
}

/* Takes a connection of mod_dbd's pool and reconnects it where the server has closed it. Returns
 * NULL where that fails. */
static ap_dbd_t *take_connection(const sf_caller *caller, server_rec *server)
{
    ap_dbd_t *dbd = dbd_open(caller->pool, server);

    if (!dbd) {
        sf_log(caller, APLOG_ERR, "SF0001", "no connection to the database");
        return NULL;
    }
    read_pending(native_of(dbd));
    if (apr_dbd_check_conn(dbd->driver, caller->pool, dbd->handle) != APR_SUCCESS) {
        sf_log(caller, APLOG_ERR, "SF0002",
               "the connection to the database was lost and cannot be "
               "made again");
        dbd_close(server, dbd);
        return NULL;
    }
    return dbd;
}


/* Statements ------------------------------------------------------------------------------------ */

/* Logs the error of the last command, as far as it may be logged, and returns the result that it
 * stands for. `doing` is the verb of the log line. */
static sf_db_result log_failure(const execution *e, const char *doing)
{
    const ap_dbd_t *dbd = e->session->dbd;
    char *text = apr_pstrdup(e->caller->pool, apr_dbd_error(dbd->driver, dbd->handle, 0));
    const sf_db_result result = PQstatus(e->session->native) == CONNECTION_BAD
                                    ? SF_DB_CONNECTION_LOST
                                    : sf_db_result_of_error(text);

    if (!(e->id == SF_STATEMENT_SESSION_BEGIN && result == SF_DB_NO_SCHEMA
          && apr_atomic_read32(&schema_mismatch_logged))) { /* SF0004 is in the log */
        sf_db_log_failure(e->caller, doing, e->name, text);
    }
    return result;
}

/* Returns a statement's SQL in apr_dbd's form. apr_dbd expects %s for each parameter and numbers
 * them $1, $2, ... in order of appearance; the SQL has its $n in any order, so a comment at its end
 * holds the %s. Each other % is doubled. */
static const char *sql_for_apr_dbd(apr_pool_t *pool, const sf_statement *statement)
{
    char *form = apr_palloc(pool, 2 * strlen(statement->sql) + 3 * statement->parameters + 4);
    char *end = form;
    const char *from;
    int i;

    for (from = statement->sql; *from; from++) {
        *end++ = *from;
        if (*from == '%') {
            *end++ = '%';
        }
    }
    end = apr_cpystrn(end, "-- ", 4);
    for (i = 0; i < statement->parameters; i++) {
        end = apr_cpystrn(end, "%s ", 4);
    }
    return form;
}

/* Prepares a statement unless the session knows it. The pool of a failed attempt is destroyed,
 * because each request fails again until the schema fits. */
static sf_db_result prepare(const execution *e)
{
    const ap_dbd_t *dbd = e->session->dbd;
    sf_db_result result;
    apr_pool_t *pool;

    if (e->session->prepared[e->id]) {
        return SF_DB_OK;
    }
    apr_pool_create(&pool, e->session->pool);
    if (apr_dbd_prepare(dbd->driver, pool, dbd->handle,
                        sql_for_apr_dbd(e->caller->pool, &sf_statements[e->id]), e->name,
                        &e->session->prepared[e->id])
        == 0) {
        return SF_DB_OK;
    }
    result = log_failure(e, "preparing");
    e->session->prepared[e->id] = NULL;
    apr_pool_destroy(pool);
    return result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : result;
}

/* Prepares and runs the statement. */
static sf_db_result execute(execution *e)
{
    const ap_dbd_t *dbd = e->session->dbd;
    sf_db_result result = prepare(e);
    apr_dbd_results_t *results = NULL;

    if (result != SF_DB_OK) {
        return result;
    }
    /* random access: without it apr_dbd hides errors and sleeps on an empty result */
    if (apr_dbd_pselect(dbd->driver, e->caller->pool, dbd->handle, &results,
                        e->session->prepared[e->id], 1, sf_statements[e->id].parameters,
                        (const char **)e->values)
        != 0) {
        return log_failure(e, "executing");
    }
    e->rows = sf_rows_of_apr_dbd(e->caller->pool, dbd->driver, results, &e->session->state);
    return SF_DB_OK;
}

/* The same, under ServerlessDeleteTimeout. statement_timeout belongs to the session, which other
 * requests use next: it is reset to the value of DBDParams. */
static sf_db_result execute_long(execution *e)
{
    const ap_dbd_t *dbd = e->session->dbd;
    int rows;
    const char *limit = apr_psprintf(e->caller->pool, "SET statement_timeout = %" APR_TIME_T_FMT,
                                     apr_time_as_msec(sf_config_delete_timeout(e->caller->r)));
    sf_db_result result;

    if (apr_dbd_query(dbd->driver, dbd->handle, &rows, limit) != 0) {
        result = log_failure(e, "setting the time limit of");
        return result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : result; /* it was not sent */
    }
    result = execute(e);
    if (apr_dbd_query(dbd->driver, dbd->handle, &rows, "RESET statement_timeout") != 0) {
        log_failure(e, "resetting the time limit of");
        sf_session_reset(e->session); /* a session must not keep the other limit */
    }
    return result;
}

sf_db_result sf_session_run(const sf_caller *caller, sf_session *session, sf_statement_id id,
                            const char *const *values, sf_rows **rows)
{
    execution e = { caller, session, sf_statements[id].name, id, values, NULL };
    const sf_db_result result
        = sf_statements[id].kind == SF_LONG_WRITE ? execute_long(&e) : execute(&e);

    *rows = e.rows;
    return result;
}

sf_db_result sf_session_command(const sf_caller *caller, sf_session *session, const char *command)
{
    const execution e = { caller, session, "a transaction", SF_STATEMENT_COUNT, NULL, NULL };
    int rows;

    return apr_dbd_query(session->dbd->driver, session->dbd->handle, &rows, command) == 0
               ? SF_DB_OK
               : log_failure(&e, command);
}


/* Sessions -------------------------------------------------------------------------------------- */

#define APPLY_SCHEMA                                                                               \
    "run \"serverless-admin schema apply\" and \"serverless-admin grant ROLE\" with the role in "  \
    "DBDParams"
#define UPGRADE_MODULE "install the module that was made for it"

static void log_schema_mismatch(const sf_caller *caller, const char *found, const char *remedy)
{
    if (apr_atomic_xchg32(&schema_mismatch_logged, 1) == 0) {
        sf_log(caller, APLOG_CRIT, "SF0004",
               "the database schema is %s, this module needs version %d: %s", found,
               SF_SCHEMA_VERSION, remedy);
    }
}

/* Reads the row of session_begin: schema version and key of page tokens. Returns 1 where the schema
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
    apr_atomic_set32(&schema_mismatch_logged, 0);
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

/* Empties the record of a session: a new backend knows no prepared statements. */
static void start_session(sf_session *session, int backend_pid)
{
    apr_pool_clear(session->pool);
    memset(session->prepared, 0, sizeof(session->prepared));
    session->schema_fits = 0;
    session->backend_pid = backend_pid;
}

/* Makes sure that the connection has a session, and that the schema fits. Until it does, each call
 * checks again. */
static sf_db_result begin_session(const sf_caller *caller, sf_session *session)
{
    const int backend_pid = PQbackendPID(session->native);

    if (session->backend_pid != backend_pid) {
        start_session(session, backend_pid);
        PQsetClientEncoding(session->native, "UTF8"); /* not the default of environment or role */
    }
    return session->schema_fits ? SF_DB_OK : check_schema(caller, session);
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
    apr_pool_create(&session->pool, dbd->pool);
    apr_pool_userdata_setn(session, key, NULL, dbd->pool);
    return session;
}

sf_db_result sf_session_open(const sf_caller *caller, server_rec *server, sf_session **session)
{
    ap_dbd_t *dbd = take_connection(caller, server);
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
        sf_session_reset(*session);
    }
    sf_session_close(server, *session);
    return result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : result;
}
