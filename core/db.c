#include "core/db.h"

#include "core/config.h"
#include "core/db_error.h"
#include "core/gate.h"
#include "core/log.h"

#include <apr_atomic.h>
#include <apr_dbd.h>
#include <apr_optional_hooks.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_log.h>
#include <libpq-fe.h>
#include <mod_dbd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

/* What we know of one connection, as long as its backend lives. PostgreSQL forgets the prepared
 * statements with the backend, and mod_dbd is not told when apr_dbd reconnects: a changed backend
 * process begins a new session here. */
typedef struct {
    int backend_pid;
    int schema_fits;
    unsigned char page_token_key[SF_DB_KEY_BYTES];
    apr_pool_t *pool; /* cleared with each session */
    apr_dbd_prepared_t *prepared[SF_STATEMENT_COUNT];
} session;

struct sf_rows {
    const apr_dbd_driver_t *driver;
    apr_pool_t *pool;
    apr_dbd_results_t *results;
    apr_dbd_row_t *row;
    int at; /* which row that is, or -1 */
    int count;
    unsigned char page_token_key[SF_DB_KEY_BYTES];
};

/* One statement on its way. */
typedef struct {
    const sf_caller *caller;
    ap_dbd_t *dbd;
    session *session;
    const sf_statement *statement;
    sf_statement_id id;
    const char **arguments; /* in apr_dbd's order */
    sf_rows *rows;
} call;

static APR_OPTIONAL_FN_TYPE(ap_dbd_open) *dbd_open;
static APR_OPTIONAL_FN_TYPE(ap_dbd_close) *dbd_close;

/* How often a statement is repeated that PostgreSQL rolled back for another's sake. */
#define MAX_ATTEMPTS 5

/* Sessions on a schema that does not fit; logged when it becomes so, not with every request. */
static volatile apr_uint32_t schema_complained;

static PGconn *native(const ap_dbd_t *dbd)
{
    return apr_dbd_native_handle(dbd->driver, dbd->handle);
}


/* Connections ----------------------------------------------------------------------------------- */

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

/* Takes in what the server sent unasked, and so notices a connection that it has closed: first comes
 * the reason as text, then the end of the stream. Costs no round trip. */
static void notice_closed(PGconn *connection)
{
    struct pollfd socket = { PQsocket(connection), POLLIN, 0 };
    int reads = 0;

    while (reads++ < 4 && poll(&socket, 1, 0) > 0 && PQconsumeInput(connection)) {
    }
}

/* A connection that works as far as can be told without asking it, or NULL. */
static ap_dbd_t *open_connection(const sf_caller *caller)
{
    ap_dbd_t *dbd = dbd_open(caller->pool, caller->server);

    if (!dbd) {
        sf_log(caller, APLOG_ERR, "SF0001", "no connection to the database");
        return NULL;
    }
    notice_closed(native(dbd));
    if (apr_dbd_check_conn(dbd->driver, caller->pool, dbd->handle) != APR_SUCCESS) {
        sf_log(caller, APLOG_ERR, "SF0002",
               "the connection to the database was lost and cannot be "
               "made again");
        dbd_close(caller->server, dbd);
        return NULL;
    }
    return dbd;
}


/* Statements ------------------------------------------------------------------------------------ */

/* Says in the log what PostgreSQL said, as far as it may be written down, and what it means. */
static sf_db_result failed(const call *c, const char *doing)
{
    char sqlstate[SF_SQLSTATE_LENGTH + 1];
    char *text = apr_pstrdup(c->caller->pool, apr_dbd_error(c->dbd->driver, c->dbd->handle, 0));
    sf_db_result result;

    sf_db_sqlstate(text, sqlstate);
    result = PQstatus(native(c->dbd)) == CONNECTION_BAD ? SF_DB_CONNECTION_LOST
                                                        : sf_db_result_of(sqlstate);
    if (!(c->id == SF_STATEMENT_SESSION_BEGIN && result == SF_DB_NO_SCHEMA
          && apr_atomic_read32(&schema_complained))) { /* else SF0004 has said it all */
        sf_log(c->caller, APLOG_ERR, "SF0003", "%s %s failed: SQLSTATE %s: %s", doing,
               c->statement->name, *sqlstate ? sqlstate : "none", sf_db_loggable(text, sqlstate));
    }
    return result;
}

/* Prepares a statement unless the session knows it. What a failure leaves is freed: until the schema
 * fits, each request fails again. */
static sf_db_result prepare(const call *c)
{
    sf_db_result result;
    apr_pool_t *pool;

    if (c->session->prepared[c->id]) {
        return SF_DB_OK;
    }
    apr_pool_create(&pool, c->session->pool);
    if (apr_dbd_prepare(c->dbd->driver, pool, c->dbd->handle, c->statement->sql, c->statement->name,
                        &c->session->prepared[c->id])
        == 0) {
        return SF_DB_OK;
    }
    result = failed(c, "preparing");
    c->session->prepared[c->id] = NULL;
    apr_pool_destroy(pool);
    return result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : result;
}

static sf_db_result execute(const call *c)
{
    sf_db_result result = prepare(c);

    if (result != SF_DB_OK) {
        return result;
    }
    c->rows->results = NULL;
    /* random access: without it apr_dbd hides errors and sleeps on an empty result */
    if (apr_dbd_pselect(c->dbd->driver, c->caller->pool, c->dbd->handle, &c->rows->results,
                        c->session->prepared[c->id], 1, c->statement->parameters, c->arguments)
        != 0) {
        return failed(c, "executing");
    }
    c->rows->row = NULL;
    c->rows->at = -1;
    c->rows->count = apr_dbd_num_tuples(c->dbd->driver, c->rows->results);
    return SF_DB_OK;
}

/* A time limit is the session's, and the connection somebody else's next: it is set for one statement
 * and set back to what DBDParams says. */
static sf_db_result execute_long(const call *c)
{
    int rows;
    const char *limit = apr_psprintf(c->caller->pool, "SET statement_timeout = %" APR_TIME_T_FMT,
                                     apr_time_as_msec(sf_delete_limit(c->caller->r)));
    sf_db_result result;

    if (apr_dbd_query(c->dbd->driver, c->dbd->handle, &rows, limit) != 0) {
        result = failed(c, "setting the time limit of");
        return result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : result; /* it was not sent */
    }
    result = execute(c);
    if (apr_dbd_query(c->dbd->driver, c->dbd->handle, &rows, "RESET statement_timeout") != 0) {
        failed(c, "resetting the time limit of");
        PQreset(native(c->dbd)); /* rather a new connection than one with a wrong limit */
    }
    return result;
}


/* Sessions -------------------------------------------------------------------------------------- */

static void new_call(call *c, const sf_caller *caller, ap_dbd_t *dbd, session *session,
                     sf_statement_id id, const char *const *values)
{
    int i;

    c->caller = caller;
    c->dbd = dbd;
    c->session = session;
    c->statement = &sf_statements[id];
    c->id = id;
    c->arguments
        = apr_palloc(caller->pool, sizeof(*c->arguments) * (SF_STATEMENT_MAX_PARAMETERS + 1));
    for (i = 0; i < c->statement->parameters; i++) {
        c->arguments[i] = values[c->statement->order[i]];
    }
    c->rows = apr_pcalloc(caller->pool, sizeof(*c->rows));
    c->rows->driver = dbd->driver;
    c->rows->pool = caller->pool;
}

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
static int learn(const sf_caller *caller, session *session, sf_rows *rows)
{
    const char *version = rows->count == 1 ? sf_rows_value(rows, 0, 0) : NULL;
    const char *key = rows->count == 1 ? sf_rows_value(rows, 0, 1) : NULL;
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

        session->page_token_key[i] = (unsigned char)strtol(digits, NULL, 16);
    }
    apr_atomic_set32(&schema_complained, 0);
    return 1;
}

/* A backend that is new to us knows none of our statements. */
static void forget(session *session, int backend_pid)
{
    apr_pool_clear(session->pool);
    memset(session->prepared, 0, sizeof(session->prepared));
    session->schema_fits = 0;
    session->backend_pid = backend_pid;
}

static sf_db_result begin_session(const sf_caller *caller, ap_dbd_t *dbd, session *session)
{
    static const char *const none[] = { NULL };
    call c;
    sf_db_result result;

    new_call(&c, caller, dbd, session, SF_STATEMENT_SESSION_BEGIN, none);
    result = execute(&c);
    if (result == SF_DB_OK) {
        session->schema_fits = learn(caller, session, c.rows);
    }
    else if (result == SF_DB_NO_SCHEMA) {
        complain_of_schema(caller, "not there, or not open to httpd's role", APPLY_SCHEMA);
    }
    return result != SF_DB_OK || session->schema_fits ? result : SF_DB_NO_SCHEMA;
}

/* The session on this connection. Until the schema fits, each call looks again. */
static sf_db_result session_of(const sf_caller *caller, ap_dbd_t *dbd, session **found)
{
    static const char key[] = "serverless_functions_session";
    const int backend_pid = PQbackendPID(native(dbd));
    void *data = NULL;

    apr_pool_userdata_get(&data, key, dbd->pool);
    *found = data;
    if (!*found) {
        *found = apr_pcalloc(dbd->pool, sizeof(**found));
        apr_pool_create(&(*found)->pool, dbd->pool);
        apr_pool_userdata_setn(*found, key, NULL, dbd->pool);
    }
    if ((*found)->backend_pid != backend_pid) {
        forget(*found, backend_pid);
        PQsetClientEncoding(native(dbd), "UTF8"); /* whatever the environment or the role says */
    }
    return (*found)->schema_fits ? SF_DB_OK : begin_session(caller, dbd, *found);
}


/* From a statement to its rows ------------------------------------------------------------------ */

/* One connection's turn for a caller: the session on it, and what became of the work. */
struct sf_transaction {
    const sf_caller *caller;
    ap_dbd_t *dbd;
    session *session;
    sf_db_result result; /* of the statement that failed */
};

/* What is done in such a turn. */
typedef sf_db_result turn(sf_transaction *on, void *work);

static const sf_error *error_of(const sf_caller *caller, sf_db_result result)
{
    switch (result) {
    case SF_DB_OK:
        return NULL;
    case SF_DB_PARENT_MISSING:
        return sf_error_of_status(caller->pool, HTTP_NOT_FOUND);
    case SF_DB_FAILED:
        return sf_error_of_status(caller->pool, HTTP_INTERNAL_SERVER_ERROR);
    default:
        return sf_error_of_status(caller->pool, HTTP_SERVICE_UNAVAILABLE);
    }
}

static sf_db_result take_turn(const sf_caller *caller, turn *act, void *work)
{
    sf_transaction on = { caller, open_connection(caller), NULL, SF_DB_OK };
    sf_db_result result;

    if (!on.dbd) {
        return SF_DB_UNAVAILABLE;
    }
    result = session_of(caller, on.dbd, &on.session);
    if (result == SF_DB_CONNECTION_LOST) {
        result = SF_DB_NOT_RUN; /* the work itself was not begun */
    }
    else if (result == SF_DB_OK) {
        result = act(&on, work);
    }
    if (result == SF_DB_FORGOTTEN) {
        PQreset(native(on.dbd));
    }
    dbd_close(caller->server, on.dbd);
    return result;
}

static int may_repeat(sf_db_result result, sf_statement_kind kind, int attempt)
{
    switch (result) {
    case SF_DB_CONNECTION_LOST:
        return kind == SF_READ && attempt == 1;
    case SF_DB_FORGOTTEN:
        return attempt == 1;
    case SF_DB_NOT_RUN:
        return attempt < MAX_ATTEMPTS;
    default:
        return 0;
    }
}

/* Through the gate, and as often as may be. */
static sf_db_result take_turns(const sf_caller *caller, sf_statement_kind kind, turn *act,
                               void *work)
{
    sf_db_result result;
    int attempt = 0;

    if (sf_gate_enter(sf_db_timeout(), kind == SF_LONG_WRITE) != APR_SUCCESS) {
        sf_log(caller, APLOG_WARNING, "SF0005", "no database connection was free in time");
        return SF_DB_UNAVAILABLE;
    }
    do {
        result = take_turn(caller, act, work);
    } while (may_repeat(result, kind, ++attempt));
    sf_gate_leave(kind == SF_LONG_WRITE);
    return result;
}

typedef struct {
    sf_statement_id id;
    const char *const *values;
    sf_rows **rows;
} single;

static sf_db_result run_single(sf_transaction *on, void *work)
{
    const single *statement = work;
    sf_db_result result;
    call c;

    new_call(&c, on->caller, on->dbd, on->session, statement->id, statement->values);
    result = c.statement->kind == SF_LONG_WRITE ? execute_long(&c) : execute(&c);
    memcpy(c.rows->page_token_key, on->session->page_token_key, SF_DB_KEY_BYTES);
    *statement->rows = c.rows;
    return result;
}

const sf_error *sf_db_run(const sf_caller *caller, sf_statement_id id, const char *const *values,
                          sf_rows **rows)
{
    single statement = { id, values, rows };

    *rows = NULL;
    return error_of(caller, take_turns(caller, sf_statements[id].kind, run_single, &statement));
}

const sf_error *sf_db_step(sf_transaction *transaction, sf_statement_id id,
                           const char *const *values, sf_rows **rows)
{
    single statement = { id, values, rows };

    *rows = NULL;
    transaction->result = run_single(transaction, &statement);
    return error_of(transaction->caller, transaction->result);
}

typedef struct {
    sf_steps *steps;
    void *data;
    const sf_error *error; /* of the steps themselves */
} several;

/* BEGIN, COMMIT or ROLLBACK. */
static sf_db_result control(const sf_transaction *on, const char *command)
{
    static const sf_statement transaction_control = { "a transaction", SF_WRITE, NULL, 0, NULL };
    const call c = { .caller = on->caller,
                     .dbd = on->dbd,
                     .statement = &transaction_control,
                     .id = SF_STATEMENT_COUNT };
    int rows;

    return apr_dbd_query(on->dbd->driver, on->dbd->handle, &rows, command) == 0
               ? SF_DB_OK
               : failed(&c, command);
}

static sf_db_result run_several(sf_transaction *on, void *work)
{
    several *transaction = work;
    sf_db_result result = control(on, "BEGIN");

    if (result != SF_DB_OK) {
        return result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : result;
    }
    on->result = SF_DB_OK;
    transaction->error = transaction->steps(on, transaction->data);
    if (!transaction->error) {
        return control(on, "COMMIT");
    }
    if (control(on, "ROLLBACK") != SF_DB_OK) {
        PQreset(native(on->dbd));
    }
    /* before COMMIT nothing has happened, so a lost connection lost nothing */
    return on->result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : on->result;
}

const sf_error *sf_db_transaction(const sf_caller *caller, sf_steps *steps, void *data)
{
    several transaction = { steps, data, NULL };
    const sf_db_result result = take_turns(caller, SF_WRITE, run_several, &transaction);

    return result == SF_DB_OK ? transaction.error : error_of(caller, result);
}

int sf_rows_count(const sf_rows *rows)
{
    return rows->count;
}

const char *sf_rows_value(sf_rows *rows, int row, int column)
{
    const char *value = NULL;

    if (rows->at != row) {
        if (apr_dbd_get_row(rows->driver, rows->pool, rows->results, &rows->row, row + 1) != 0) {
            return NULL;
        }
        rows->at = row;
    }
    /* datum_get, because get_entry has "" for NULL */
    if (apr_dbd_datum_get(rows->driver, rows->row, column, APR_DBD_TYPE_STRING, &value)
        != APR_SUCCESS) {
        return NULL;
    }
    return value;
}

const unsigned char *sf_rows_page_token_key(const sf_rows *rows)
{
    return rows->page_token_key;
}


/* Starting up ----------------------------------------------------------------------------------- */

void sf_db_register_hooks(void)
{
    APR_OPTIONAL_HOOK(dbd, post_connect, post_connect, NULL, NULL, APR_HOOK_MIDDLE);
}

int sf_db_post_config(void)
{
    dbd_open = APR_RETRIEVE_OPTIONAL_FN(ap_dbd_open);
    dbd_close = APR_RETRIEVE_OPTIONAL_FN(ap_dbd_close);
    return dbd_open && dbd_close;
}

void sf_db_child_init(apr_pool_t *pool, server_rec *s)
{
    for (s = sf_next_database(s); s; s = sf_next_database(s->next)) {
        static const char *const none[] = { NULL };
        const sf_caller caller = { pool, s, NULL };
        sf_rows *rows;

        sf_db_run(&caller, SF_STATEMENT_SESSION_BEGIN, none, &rows);
    }
}
