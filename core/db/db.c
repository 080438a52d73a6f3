#include "core/db/db.h"

#include "core/config.h"
#include "core/db/batch.h"
#include "core/db/connection_limit.h"
#include "core/db/lock_line.h"
#include "core/db/reachability.h"
#include "core/db/session.h"
#include "core/db/sqlstate.h"
#include "core/log.h"
#include "core/metrics.h"

#include <http_config.h>
#include <http_log.h>

APLOG_USE_MODULE(serverless_functions);

/* The most attempts at a statement or transaction that provably did not run: after a deadlock, a
 * serialization failure, or in a session without the prepared statement. */
#define MAX_ATTEMPTS 5

/* The most attempts at a statement that reads, where the connection was lost. */
#define MAX_READ_ATTEMPTS 2

/* A connection of the pool while a task runs on it. */
struct sf_transaction {
    const sf_caller *caller;
    sf_session *session;
    sf_db_result result; /* of the last step */
};

/* One statement, or a transaction where there are `steps`. */
typedef struct {
    sf_statement_kind kind;
    sf_statement_id id;
    const char *const *values;
    sf_rows **rows;
    sf_steps *steps;
    void *data;
    const sf_error *error; /* which the steps returned */
    int is_patient;        /* the next attempt waits for a lock on its connection */
} task;

/* How long a request waits before it tries again to get a lock. */
#define LOCK_PAUSE apr_time_from_msec(50)

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


/* Attempts -------------------------------------------------------------------------------------- */

/* Runs the steps between BEGIN and COMMIT or ROLLBACK. Until COMMIT is sent nothing has happened,
 * so that a connection lost before that means SF_DB_NOT_RUN. Returns SF_DB_OK with `t->error` where
 * the steps themselves refuse. */
static sf_db_result run_steps(sf_transaction *transaction, task *t)
{
    const sf_caller *caller = transaction->caller;
    sf_db_result result = sf_session_command(caller, transaction->session, "BEGIN");

    if (result != SF_DB_OK) {
        return result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : result;
    }
    transaction->result = SF_DB_OK;
    t->error = t->steps(transaction, t->data);
    if (!t->error) {
        return sf_session_command(caller, transaction->session, "COMMIT");
    }
    if (sf_session_command(caller, transaction->session, "ROLLBACK") != SF_DB_OK) {
        sf_session_drop(transaction->session);
    }
    return transaction->result == SF_DB_CONNECTION_LOST ? SF_DB_NOT_RUN : transaction->result;
}

static int is_read(sf_statement_kind kind)
{
    return kind == SF_READ || kind == SF_LARGE_READ;
}

/* Runs a statement, or the steps of a transaction, in a session. */
static sf_db_result run_in_session(sf_transaction *transaction, task *t)
{
    const sf_caller *caller = transaction->caller;
    sf_session *session = transaction->session;
    sf_db_result result = SF_DB_OK;

    if (t->steps) {
        return run_steps(transaction, t);
    }
    if (t->is_patient) {
        result = sf_session_be_patient(caller, session, 1);
    }
    if (result == SF_DB_OK) {
        result = sf_session_run(caller, session, t->id, t->values, t->rows);
    }
    if (t->is_patient && result != SF_DB_AWAY && result != SF_DB_CONNECTION_LOST) {
        sf_session_be_patient(caller, session, 0);
    }
    return result;
}

/* Makes one attempt, on a connection of the pool. The caller holds a permit. */
static sf_db_result attempt(const sf_caller *caller, task *t)
{
    sf_transaction transaction = { caller, NULL, SF_DB_OK };
    sf_db_result result = sf_session_open(caller, caller->server, &transaction.session);

    if (result != SF_DB_OK) {
        return result;
    }
    result = run_in_session(&transaction, t);
    if (result == SF_DB_INVALIDATED) {
        sf_session_drop(transaction.session);
    }
    sf_session_close(caller->server, transaction.session);
    return result;
}

/* Whether another attempt may follow one with this result, after so many attempts. A write on a
 * connection that was lost may have been done, and is never repeated. */
static int may_retry(sf_db_result result, sf_statement_kind kind, int attempts)
{
    switch (result) {
    case SF_DB_CONNECTION_LOST:
        return is_read(kind) && attempts < MAX_READ_ATTEMPTS;
    case SF_DB_LOCKED: /* a read waits for changes of the schema only */
        return is_read(kind) && attempts < MAX_ATTEMPTS;
    case SF_DB_INVALIDATED:
    case SF_DB_NOT_RUN:
        return attempts < MAX_ATTEMPTS;
    default:
        return 0;
    }
}

/* Takes a permit within `timeout`. A request that has to wait for one was in the queue. */
static apr_status_t acquire(const sf_caller *caller, apr_interval_time_t timeout, int long_running)
{
    apr_interval_time_t waited;
    const apr_status_t rv = sf_connection_limit_acquire(timeout, long_running, &waited);

    sf_metrics_observe(caller, SF_HISTOGRAM_QUEUE, waited);
    return rv;
}

/* Takes a permit within `timeout`, then makes attempts until one is final. `attempts` is how many
 * count that were made before. */
static sf_db_result run_with_retries(const sf_caller *caller, task *t, apr_interval_time_t timeout,
                                     int attempts)
{
    const int long_running = t->kind == SF_LONG_WRITE;
    const int database = sf_config_database(caller->server);
    sf_db_result result;

    if (sf_reachability_is_refused(database)) {
        sf_log_limited(caller, APLOG_ERR, "SF0033", "the database does not answer");
        return SF_DB_AWAY;
    }
    if (acquire(caller, timeout, long_running) != APR_SUCCESS) {
        sf_log_limited(caller, APLOG_WARNING, "SF0005", "no database connection was free in time");
        return sf_reachability_is_responsive(database) ? SF_DB_BUSY : SF_DB_AWAY;
    }
    result = attempt(caller, t);
    attempts++;
    while (may_retry(result, t->kind, attempts)) {
        sf_metrics_add(SF_METRIC_RETRIES);
        if (result == SF_DB_LOCKED && !t->is_patient) {
            t->is_patient = 1; /* which is no further attempt, but the same with more time */
            attempts--;
        }
        result = attempt(caller, t);
        attempts++;
    }
    sf_connection_limit_release(long_running);
    return result;
}


/* Statements ------------------------------------------------------------------------------------ */

/* Runs a short statement in a batch, or else on a connection of the pool, for which the rest of
 * ServerlessDBTimeout is left. An attempt in a batch counts where its connection was lost, since
 * the statement may have run; a batch that did not run the statement is no attempt. */
static sf_db_result run_short(const sf_caller *caller, task *t)
{
    const apr_time_t deadline = apr_time_now() + sf_config_db_timeout();
    const sf_db_result result = sf_batch_run(caller, t->id, t->values, t->rows);
    apr_interval_time_t left;
    int attempts = 0;

    if (!may_retry(result, t->kind, 1)) {
        return result;
    }
    if (result == SF_DB_CONNECTION_LOST) {
        attempts = 1;
        sf_metrics_add(SF_METRIC_RETRIES);
    }
    left = deadline - apr_time_now();
    return run_with_retries(caller, t, left > 0 ? left : 0, attempts);
}

static sf_db_result run_once(const sf_caller *caller, task *t)
{
    return t->kind == SF_READ || t->kind == SF_SHORT_WRITE
               ? run_short(caller, t)
               : run_with_retries(caller, t, sf_config_db_timeout(), 0);
}

/* Gets the turn to try again for a lock that another session holds, and pauses. The request that has
 * the turn keeps it. Returns 0 where `deadline` has passed. */
static int wait_for_lock(const sf_caller *caller, sf_lock_place *place, apr_time_t deadline)
{
    const int had_turn = place->has_turn || !caller->r;
    int in_time;

    sf_lock_line_join(caller, place);
    in_time = sf_lock_line_wait(place, deadline);
    if (in_time && (had_turn || place->has_turn)) {
        apr_sleep(LOCK_PAUSE);
    }
    return in_time && apr_time_now() < deadline;
}

/* Runs a write or a transaction. Where it needs a lock that another session holds, it is rolled back,
 * gives back its connection, and is tried again as long as a statement may run. */
static sf_db_result run_locking(const sf_caller *caller, task *t)
{
    const apr_time_t deadline = apr_time_now() + sf_session_lock_limit(caller, t->kind);
    sf_lock_place place = { NULL, 0 };
    sf_db_result result = SF_DB_LOCKED;
    int may_try;

    sf_lock_line_join_existing(caller, &place);
    may_try = sf_lock_line_wait(&place, deadline);
    while (may_try) {
        result = place.has_turn ? run_with_retries(caller, t, sf_config_db_timeout(), 0)
                                : run_once(caller, t);
        may_try = result == SF_DB_LOCKED && wait_for_lock(caller, &place, deadline);
    }
    sf_lock_line_leave(&place, result != SF_DB_LOCKED);
    if (result == SF_DB_LOCKED) {
        sf_log_limited(caller, APLOG_ERR, "SF0003",
                       "executing %s failed: SQLSTATE 55P03: another session held a lock",
                       t->steps ? "a transaction" : sf_statements[t->id].name);
    }
    return result;
}

sf_db_result sf_db_try(const sf_caller *caller, sf_statement_id id, const char *const *values,
                       sf_rows **rows)
{
    task t = { .kind = sf_statements[id].kind, .id = id, .values = values, .rows = rows };
    const apr_time_t began = apr_time_now();
    sf_db_result result;

    sf_metrics_add(SF_METRIC_STATEMENTS);
    *rows = NULL;
    result = is_read(t.kind) ? run_once(caller, &t) : run_locking(caller, &t);
    sf_metrics_observe(caller, SF_HISTOGRAM_DATABASE, apr_time_now() - began);
    return result;
}

const sf_error *sf_db_run(const sf_caller *caller, sf_statement_id id, const char *const *values,
                          sf_rows **rows)
{
    return error_of(caller, sf_db_try(caller, id, values, rows));
}

const sf_error *sf_db_run_batched(const sf_caller *caller, sf_statement_id id,
                                  const char *const *values, sf_rows **rows)
{
    const apr_time_t began = apr_time_now();
    sf_db_result result;

    sf_metrics_add(SF_METRIC_STATEMENTS);
    *rows = NULL;
    result = sf_batch_run(caller, id, values, rows);
    sf_metrics_observe(caller, SF_HISTOGRAM_DATABASE, apr_time_now() - began);
    return may_retry(result, SF_READ, 1) ? NULL : error_of(caller, result);
}

const sf_error *sf_db_transaction(const sf_caller *caller, sf_steps *steps, void *data)
{
    task t = { .kind = SF_WRITE, .steps = steps, .data = data };
    const sf_db_result result = run_locking(caller, &t);

    return result == SF_DB_OK ? t.error : error_of(caller, result);
}

const sf_error *sf_db_step(sf_transaction *transaction, sf_statement_id id,
                           const char *const *values, sf_rows **rows)
{
    const apr_time_t began = apr_time_now();

    sf_metrics_add(SF_METRIC_STATEMENTS);
    *rows = NULL;
    transaction->result
        = sf_session_run(transaction->caller, transaction->session, id, values, rows);
    sf_metrics_observe(transaction->caller, SF_HISTOGRAM_DATABASE, apr_time_now() - began);
    return error_of(transaction->caller, transaction->result);
}


int sf_db_answers(server_rec *s)
{
    return !sf_session_failure(s);
}

void sf_db_close_idle(server_rec *s)
{
    const apr_interval_time_t limit = sf_config_db_idle_time(s);
    const int database = sf_config_database(s);

    if (limit > 0) {
        sf_batch_close_idle(database, limit);
        sf_session_close_idle(database, limit);
    }
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
    apr_status_t rv = sf_lock_line_init(pool);

    if (rv == APR_SUCCESS) {
        rv = sf_session_init(s->process->pool, sf_config_databases(s));
    }
    if (rv == APR_SUCCESS) {
        rv = sf_reachability_init(pool, sf_config_databases(s));
    }
    return rv == APR_SUCCESS && sf_config_pipelining() ? sf_batch_init(pool, s) : rv;
}

int sf_db_check_schema(const sf_caller *caller)
{
    static const char *const none[] = { NULL };
    sf_rows *rows;

    return sf_db_run(caller, SF_STATEMENT_SESSION_BEGIN, none, &rows) == NULL;
}

const char *sf_db_label(apr_pool_t *pool, server_rec *s)
{
    return sf_session_label(pool, s);
}
