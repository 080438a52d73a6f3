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

/* One statement on its way. */
typedef struct {
    const sf_caller *caller;
    sf_session *session;
    const char *name;
    sf_statement_id id;
    const char *const *values;
    sf_rows *rows;
} call;

static APR_OPTIONAL_FN_TYPE(ap_dbd_open) *dbd_open;
static APR_OPTIONAL_FN_TYPE(ap_dbd_close) *dbd_close;

/* Sessions on a schema that does not fit; logged when it becomes so, not with every request. */
static volatile apr_uint32_t schema_complained;


/* Connections ----------------------------------------------------------------------------------- */

static PGconn *native(const ap_dbd_t *dbd)
{
    return apr_dbd_native_handle(dbd->driver, dbd->handle);
}

/* mod_dbd's hook on a new connection: have SQLSTATEs in the error text. Survives a reconnect. */
static apr_status_t post_connect(apr_pool_t *pool, dbd_cfg_t *cfg, ap_dbd_t *dbd)
{
    (void)pool;
    (void)cfg;
    if (strcmp(apr_dbd_name(dbd->driver), "pgsql") == 0) {
        PQsetErrorVerbosity(native(dbd), PQERRORS_VERBOSE);
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

/* First comes the reason as text, then the end of the stream. */
static void notice_closed(PGconn *connection)
{
    struct pollfd socket = { PQsocket(connection), POLLIN, 0 };
    int reads = 0;

    while (reads++ < 4 && poll(&socket, 1, 0) > 0 && PQconsumeInput(connection)) {
    }
}

int sf_session_is_alive(const sf_session *session)
{
    notice_closed(session->native);
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

/* A connection that works as far as can be told without asking it, or NULL. */
static ap_dbd_t *connect_to(const sf_caller *caller, server_rec *server)
{
    ap_dbd_t *dbd = dbd_open(caller->pool, server);

    if (!dbd) {
        sf_log(caller, APLOG_ERR, "SF0001", "no connection to the database");
        return NULL;
    }
    notice_closed(native(dbd));
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

/* Says in the log what PostgreSQL said, as far as it may be written down, and what it means. */
static sf_db_result failed(const call *c, const char *doing)
{
    const ap_dbd_t *dbd = c->session->dbd;
    char *text = apr_pstrdup(c->caller->pool, apr_dbd_error(dbd->driver, dbd->handle, 0));
    const sf_db_result result = PQstatus(c->session->native) == CONNECTION_BAD
                                    ? SF_DB_CONNECTION_LOST
                                    : sf_db_result_of_error(text);

    if (!(c->id == SF_STATEMENT_SESSION_BEGIN && result == SF_DB_NO_SCHEMA
          && apr_atomic_read32(&schema_complained))) { /* else SF0004 has said it all */
        sf_db_log_failure(c->caller, doing, c->name, text);
    }
    return result;
}

/* apr_dbd wants printf's %s for each parameter, in order, and makes it $1, $2, ...: they stand in a
 * comment, where the order is ours. What else is a % is to be doubled. */
static const char *apr_dbd_form(apr_pool_t *pool, const sf_statement *statement)
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

/* Prepares a statement unless the session knows it. What a failure leaves is freed: until the schema
 * fits, each request fails again. */
static sf_db_result prepare(const call *c)
{
    const ap_dbd_t *dbd = c->session->dbd;
    sf_db_result result;
    apr_pool_t *pool;

    if (c->session->prepared[c->id]) {
        return SF_DB_OK;
    }
    apr_pool_create(&pool, c->session->pool);
    if (apr_dbd_prepare(dbd->driver, pool, dbd->handle,
                        apr_dbd_form(c->caller->pool, &sf_statements[c->id]), c->name,
                        &c->session->prepared[c->id])
        == 0) {
        return SF_DB_OK;
    }
    result = failed(c, "preparing");
    c->session->prepared[c->id] = NULL;
    apr_pool_destroy(pool);
    return result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : result;
}

static sf_db_result execute(call *c)
{
    const ap_dbd_t *dbd = c->session->dbd;
    sf_db_result result = prepare(c);
    apr_dbd_results_t *results = NULL;

    if (result != SF_DB_OK) {
        return result;
    }
    /* random access: without it apr_dbd hides errors and sleeps on an empty result */
    if (apr_dbd_pselect(dbd->driver, c->caller->pool, dbd->handle, &results,
                        c->session->prepared[c->id], 1, sf_statements[c->id].parameters,
                        (const char **)c->values)
        != 0) {
        return failed(c, "executing");
    }
    c->rows = sf_rows_of_apr_dbd(c->caller->pool, dbd->driver, results, &c->session->state);
    return SF_DB_OK;
}

/* A time limit is the session's, and the connection somebody else's next: it is set for one statement
 * and set back to what DBDParams says. */
static sf_db_result execute_long(call *c)
{
    const ap_dbd_t *dbd = c->session->dbd;
    int rows;
    const char *limit = apr_psprintf(c->caller->pool, "SET statement_timeout = %" APR_TIME_T_FMT,
                                     apr_time_as_msec(sf_config_delete_timeout(c->caller->r)));
    sf_db_result result;

    if (apr_dbd_query(dbd->driver, dbd->handle, &rows, limit) != 0) {
        result = failed(c, "setting the time limit of");
        return result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : result; /* it was not sent */
    }
    result = execute(c);
    if (apr_dbd_query(dbd->driver, dbd->handle, &rows, "RESET statement_timeout") != 0) {
        failed(c, "resetting the time limit of");
        sf_session_reset(c->session); /* rather a new connection than one with a wrong limit */
    }
    return result;
}

sf_db_result sf_session_run(const sf_caller *caller, sf_session *session, sf_statement_id id,
                            const char *const *values, sf_rows **rows)
{
    call c = { caller, session, sf_statements[id].name, id, values, NULL };
    const sf_db_result result
        = sf_statements[id].kind == SF_LONG_WRITE ? execute_long(&c) : execute(&c);

    *rows = c.rows;
    return result;
}

sf_db_result sf_session_control(const sf_caller *caller, sf_session *session, const char *command)
{
    const call c = { caller, session, "a transaction", SF_STATEMENT_COUNT, NULL, NULL };
    int rows;

    return apr_dbd_query(session->dbd->driver, session->dbd->handle, &rows, command) == 0
               ? SF_DB_OK
               : failed(&c, command);
}


/* Sessions -------------------------------------------------------------------------------------- */

#define APPLY_SCHEMA                                                                               \
    "run \"serverless-admin schema apply\" and \"serverless-admin grant ROLE\" with the role in "  \
    "DBDParams"
#define UPGRADE_MODULE "install the module that was made for it"

static void complain_of_schema(const sf_caller *caller, const char *found, const char *remedy)
{
    if (apr_atomic_xchg32(&schema_complained, 1) == 0) {
        sf_log(caller, APLOG_CRIT, "SF0004",
               "the database schema is %s, this module needs version %d: %s", found,
               SF_SCHEMA_VERSION, remedy);
    }
}

/* Reads what session_begin says; 1 where the schema is the one our statements are written for. */
static int learn(const sf_caller *caller, sf_session *session, sf_rows *rows)
{
    const int there = sf_rows_count(rows) == 1;
    const char *version = there ? sf_rows_value(rows, 0, 0) : NULL;
    const char *key = there ? sf_rows_value(rows, 0, 1) : NULL;
    int i;

    if (!version || atoi(version) != SF_SCHEMA_VERSION || !key
        || strlen(key) != 2 * SF_DB_KEY_BYTES) {
        complain_of_schema(
            caller, version ? apr_psprintf(caller->pool, "version %s", version) : "empty",
            version && atoi(version) > SF_SCHEMA_VERSION ? UPGRADE_MODULE : APPLY_SCHEMA);
        return 0;
    }
    for (i = 0; i < SF_DB_KEY_BYTES; i++) {
        const char digits[] = { key[2 * i], key[2 * i + 1], '\0' };

        session->state.page_token_key[i] = (unsigned char)strtol(digits, NULL, 16);
    }
    apr_atomic_set32(&schema_complained, 0);
    return 1;
}

static sf_db_result look_at_schema(const sf_caller *caller, sf_session *session)
{
    sf_rows *rows;
    const sf_db_result result
        = sf_session_run(caller, session, SF_STATEMENT_SESSION_BEGIN, NULL, &rows);

    if (result == SF_DB_OK) {
        session->schema_fits = learn(caller, session, rows);
    }
    else if (result == SF_DB_NO_SCHEMA) {
        complain_of_schema(caller, "not there, or not open to httpd's role", APPLY_SCHEMA);
    }
    return result != SF_DB_OK || session->schema_fits ? result : SF_DB_NO_SCHEMA;
}

/* A backend that is new to us knows none of our statements. */
static void forget(sf_session *session, int backend_pid)
{
    apr_pool_clear(session->pool);
    memset(session->prepared, 0, sizeof(session->prepared));
    session->schema_fits = 0;
    session->backend_pid = backend_pid;
}

/* Until the schema fits, each call looks again. */
sf_db_result sf_session_begin(const sf_caller *caller, sf_session *session)
{
    const int backend_pid = PQbackendPID(session->native);

    if (session->backend_pid != backend_pid) {
        forget(session, backend_pid);
        PQsetClientEncoding(session->native, "UTF8"); /* whatever environment or role say */
    }
    return session->schema_fits ? SF_DB_OK : look_at_schema(caller, session);
}

/* What is remembered with this connection, or what will be. */
static sf_session *session_on(ap_dbd_t *dbd)
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
    session->native = native(dbd);
    apr_pool_create(&session->pool, dbd->pool);
    apr_pool_userdata_setn(session, key, NULL, dbd->pool);
    return session;
}

sf_db_result sf_session_open(const sf_caller *caller, server_rec *server, sf_session **session)
{
    ap_dbd_t *dbd = connect_to(caller, server);
    sf_db_result result;

    if (!dbd) {
        return SF_DB_UNAVAILABLE;
    }
    *session = session_on(dbd);
    result = sf_session_begin(caller, *session);
    if (result == SF_DB_OK) {
        return SF_DB_OK;
    }
    if (result == SF_DB_INVALIDATED) {
        sf_session_reset(*session);
    }
    sf_session_close(server, *session);
    return result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : result;
}
