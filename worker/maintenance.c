#include "worker/maintenance.h"

#include "core/config.h"
#include "core/db/db.h"
#include "core/log.h"
#include "core/metrics.h"
#include "worker/background.h"
#include "worker/maintenance_task.h"
#include "worker/rekey.h"

#include <apr_strings.h>
#include <http_log.h>
#include <stdlib.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

/* How often a node asks whether a task is due. */
#define POLL_INTERVAL apr_time_from_sec(5)

/* How long a node leaves a database alone that did not answer. */
#define RETRY_INTERVAL apr_time_from_sec(60)

/* The most rows that a batch removes. */
#define BATCH_ROWS "1000"

/* The number of tasks. */
#define TASKS 4

/* The maintenance of one database, as this node knows it. */
typedef struct {
    sf_background_task task;
    int failing[TASKS]; /* the task's last turn failed, and the log says so */
    sf_rekey_walk variables;
    sf_rekey_walk signing_keys;
} maintenance;

/* Does one batch of a task, and adds to `rows` the number of rows that it took care of. Two
 * children may do batches of one task at once, where a turn takes longer than the task's period. */
typedef sf_task_result batch_function(maintenance *database, const sf_caller *caller, int *rows);

typedef struct {
    const char *name; /* in serverless.maintenance */
    batch_function *run_batch;
    const char *log_text; /* behind the number of rows */
} maintenance_task;


/* Tasks --------------------------------------------------------------------------------------- */

/* Does a batch that is one statement. Its first column is the number of rows. */
static sf_task_result run_statement(const sf_caller *caller, sf_statement_id id,
                                    const char *const *values, int *rows)
{
    sf_rows *answer;
    int count;

    if (sf_db_run(caller, id, values, &answer)) {
        return SF_TASK_FAILED;
    }
    count = atoi(sf_rows_value(answer, 0, 0));
    *rows += count;
    return count > 0 ? SF_TASK_MORE : SF_TASK_DONE;
}

static sf_task_result expire_logs(maintenance *database, const sf_caller *caller, int *rows)
{
    const apr_time_t retention = apr_time_sec(sf_config_log_retention());
    const char *values[] = { apr_itoa(caller->pool, (int)retention), BATCH_ROWS };

    (void)database;
    if (retention == 0) {
        return SF_TASK_DONE;
    }
    return run_statement(caller, SF_STATEMENT_LOG_EXPIRE, values, rows);
}

static sf_task_result expire_idempotency_keys(maintenance *database, const sf_caller *caller,
                                              int *rows)
{
    static const char *const values[] = { BATCH_ROWS };

    (void)database;
    return run_statement(caller, SF_STATEMENT_IDEMPOTENCY_KEY_EXPIRE, values, rows);
}

static sf_task_result rekey_variables(maintenance *database, const sf_caller *caller, int *rows)
{
    return sf_variables_rekey(caller, &database->variables, rows);
}

static sf_task_result rekey_signing_keys(maintenance *database, const sf_caller *caller, int *rows)
{
    return sf_signing_keys_rekey(caller, &database->signing_keys, rows);
}

static const maintenance_task tasks[TASKS] = {
    { "expire_logs", expire_logs, "old log entries removed" },
    { "expire_idempotency_keys", expire_idempotency_keys, "idempotency keys of yesterday removed" },
    { "rekey_variables", rekey_variables, "Variables encrypted with the first key" },
    { "rekey_signing_keys", rekey_signing_keys, "signing keys encrypted with the first key" },
};


/* Turns --------------------------------------------------------------------------------------- */

/* Logs a turn that took care of rows, and the first of several turns that failed. */
static void log_turn(maintenance *database, const sf_caller *caller, int index, int rows,
                     sf_task_result result)
{
    const int failed = result == SF_TASK_FAILED;

    if (rows > 0) {
        sf_log(caller, APLOG_INFO, "SF0014", "%d %s", rows, tasks[index].log_text);
    }
    if (failed && !database->failing[index]) {
        sf_log(caller, APLOG_WARNING, "SF0015", "%s fails, and is tried again when it is due",
               tasks[index].name);
    }
    database->failing[index] = failed;
}

/* Does batch after batch of a task, until a batch finds nothing or fails, the child stops, or
 * `until`: the task is due again then, and another child may take it. */
static void run_turn(maintenance *database, const sf_caller *caller, int index, apr_time_t until)
{
    sf_caller scratch = *caller;
    int rows = 0;
    sf_task_result result;

    apr_pool_create(&scratch.pool, caller->pool);
    do {
        apr_pool_clear(scratch.pool);
        sf_metrics_add(SF_METRIC_MAINTENANCE_BATCHES);
        result = tasks[index].run_batch(database, &scratch, &rows);
    } while (result == SF_TASK_MORE && apr_time_now() < until && !sf_background_stopping());
    log_turn(database, caller, index, rows, result);
    apr_pool_destroy(scratch.pool);
}

/* Does the tasks of a database that are due. Returns 0 where it does not answer. */
static int run_due_tasks(maintenance *database, const sf_caller *caller)
{
    static const char *const none[] = { NULL };
    const apr_time_t begun = apr_time_now();
    sf_rows *due;
    int row;
    int index;

    if (sf_db_run(caller, SF_STATEMENT_MAINTENANCE_BEGIN, none, &due)) {
        return 0;
    }
    for (row = 0; row < sf_rows_count(due); row++) {
        const char *name = sf_rows_value(due, row, 0);
        const int period = atoi(sf_rows_value(due, row, 1));

        for (index = 0; index < TASKS; index++) {
            if (strcmp(tasks[index].name, name) == 0) {
                run_turn(database, caller, index, begun + apr_time_from_sec(period));
            }
        }
    }
    return 1;
}

static void maintenance_step(sf_background_task *task, apr_pool_t *pool)
{
    const sf_caller caller = { pool, task->server, NULL };

    if (apr_time_now() < task->next_step) {
        return;
    }
    task->next_step = apr_time_now() + POLL_INTERVAL;
    if (!run_due_tasks((maintenance *)task, &caller)) {
        task->next_step = apr_time_now() + RETRY_INTERVAL;
    }
}

void sf_maintenance_register(apr_pool_t *pconf, server_rec *s)
{
    static const sf_background_kind kind
        = { "maintenance", maintenance_step, sizeof(maintenance), 1 };

    sf_background_add(&kind, s, pconf);
}
