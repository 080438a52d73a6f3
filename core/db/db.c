#include "core/db/db.h"

#include "core/config.h"
#include "core/db/batch.h"
#include "core/db/connection_limit.h"
#include "core/db/session.h"
#include "core/db/sqlstate.h"
#include "core/log.h"

#include <http_config.h>
#include <http_log.h>

APLOG_USE_MODULE(serverless_functions);

/* How often a statement is repeated that did not run, for another's sake. */
#define MAX_ATTEMPTS 5

/* One connection's turn for a caller: the session on it, and what became of the work. */
struct sf_transaction {
    const sf_caller *caller;
    sf_session *session;
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
    sf_transaction on = { caller, NULL, SF_DB_OK };
    sf_db_result result = sf_session_open(caller, caller->server, &on.session);

    if (result != SF_DB_OK) {
        return result;
    }
    result = act(&on, work);
    if (result == SF_DB_INVALIDATED) {
        sf_session_reset(on.session);
    }
    sf_session_close(caller->server, on.session);
    return result;
}

static int may_repeat(sf_db_result result, sf_statement_kind kind, int attempt)
{
    switch (result) {
    case SF_DB_CONNECTION_LOST:
        return kind <= SF_LARGE_READ && attempt == 1;
    case SF_DB_INVALIDATED:
    case SF_DB_NOT_RUN:
        return attempt < MAX_ATTEMPTS;
    default:
        return 0;
    }
}

/* Through the gate, and as often as may be. How much of ServerlessDBTimeout is left, and how many
 * attempts there were, somebody else may have begun. */
static sf_db_result take_turns(const sf_caller *caller, sf_statement_kind kind, turn *act,
                               void *work, apr_interval_time_t timeout, int attempt)
{
    sf_db_result result;

    if (sf_connection_limit_acquire(timeout, kind == SF_LONG_WRITE) != APR_SUCCESS) {
        sf_log(caller, APLOG_WARNING, "SF0005", "no database connection was free in time");
        return SF_DB_UNAVAILABLE;
    }
    do {
        result = take_turn(caller, act, work);
    } while (may_repeat(result, kind, ++attempt));
    sf_connection_limit_release(kind == SF_LONG_WRITE);
    return result;
}


/* One statement --------------------------------------------------------------------------------- */

typedef struct {
    sf_statement_id id;
    const char *const *values;
    sf_rows **rows;
} single;

static sf_db_result run_single(sf_transaction *on, void *work)
{
    const single *statement = work;

    return sf_session_run(on->caller, on->session, statement->id, statement->values,
                          statement->rows);
}

/* Short statements go together with others' where that is possible. What was not done there goes
 * alone. */
static sf_db_result run_short(const sf_caller *caller, sf_statement_kind kind, single *statement)
{
    const apr_time_t begun = apr_time_now();
    const sf_db_result result
        = sf_batch_run(caller, statement->id, statement->values, statement->rows);
    apr_interval_time_t left;

    if (!may_repeat(result, kind, 1)) {
        return result;
    }
    left = begun + sf_config_db_timeout() - apr_time_now();
    return take_turns(caller, kind, run_single, statement, left > 0 ? left : 0,
                      result == SF_DB_CONNECTION_LOST);
}

const sf_error *sf_db_run(const sf_caller *caller, sf_statement_id id, const char *const *values,
                          sf_rows **rows)
{
    const sf_statement_kind kind = sf_statements[id].kind;
    single statement = { id, values, rows };

    *rows = NULL;
    return error_of(
        caller, kind == SF_READ || kind == SF_SHORT_WRITE
                    ? run_short(caller, kind, &statement)
                    : take_turns(caller, kind, run_single, &statement, sf_config_db_timeout(), 0));
}

const sf_error *sf_db_run_together(const sf_caller *caller, sf_statement_id id,
                                   const char *const *values, sf_rows **rows)
{
    sf_db_result result;

    *rows = NULL;
    result = sf_batch_run(caller, id, values, rows);
    return may_repeat(result, SF_READ, 1) ? NULL : error_of(caller, result);
}

const sf_error *sf_db_step(sf_transaction *transaction, sf_statement_id id,
                           const char *const *values, sf_rows **rows)
{
    single statement = { id, values, rows };

    *rows = NULL;
    transaction->result = run_single(transaction, &statement);
    return error_of(transaction->caller, transaction->result);
}


/* Several --------------------------------------------------------------------------------------- */

typedef struct {
    sf_steps *steps;
    void *data;
    const sf_error *error; /* of the steps themselves */
} several;

static sf_db_result run_several(sf_transaction *on, void *work)
{
    several *transaction = work;
    sf_db_result result = sf_session_control(on->caller, on->session, "BEGIN");

    if (result != SF_DB_OK) {
        return result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : result;
    }
    on->result = SF_DB_OK;
    transaction->error = transaction->steps(on, transaction->data);
    if (!transaction->error) {
        return sf_session_control(on->caller, on->session, "COMMIT");
    }
    if (sf_session_control(on->caller, on->session, "ROLLBACK") != SF_DB_OK) {
        sf_session_reset(on->session);
    }
    /* before COMMIT nothing has happened, so a lost connection lost nothing */
    return on->result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : on->result;
}

const sf_error *sf_db_transaction(const sf_caller *caller, sf_steps *steps, void *data)
{
    several transaction = { steps, data, NULL };
    const sf_db_result result
        = take_turns(caller, SF_WRITE, run_several, &transaction, sf_config_db_timeout(), 0);

    return result == SF_DB_OK ? transaction.error : error_of(caller, result);
}


/* Starting up ----------------------------------------------------------------------------------- */

void sf_db_register_hooks(void)
{
    sf_session_register_hooks();
}

int sf_db_post_config(void)
{
    return sf_session_post_config();
}

apr_status_t sf_db_child_init(apr_pool_t *pool, server_rec *s)
{
    return sf_config_pipelining() ? sf_batch_init(pool, s) : APR_SUCCESS;
}

void sf_db_look(apr_pool_t *pool, server_rec *s)
{
    for (s = sf_config_next_database(s); s; s = sf_config_next_database(s->next)) {
        static const char *const none[] = { NULL };
        const sf_caller caller = { pool, s, NULL };
        sf_rows *rows;

        sf_db_run(&caller, SF_STATEMENT_SESSION_BEGIN, none, &rows);
    }
}
