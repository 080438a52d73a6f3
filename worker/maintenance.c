#include "worker/maintenance.h"

#include "core/config.h"
#include "core/db.h"
#include "core/log.h"
#include "worker/rekey.h"
#include "worker/watchdog.h"

#include <apr_strings.h>
#include <http_log.h>
#include <stdlib.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

/* How often a child looks whether something is due. */
#define LOOK_EVERY apr_time_from_sec(5)

/* And how long it leaves a database alone that did not answer. */
#define REST apr_time_from_sec(60)

/* The most rows that one statement takes care of, so that none is long. */
#define BATCH "1000"

/* One statement's worth of a task. Returns how many rows that was (0: nothing is left), or -1 where it
 * failed, and the log has said why. Two may be at it at once, if one takes very long. */
typedef int step(const sf_caller *caller);

typedef struct {
    const char *name; /* in serverless.upkeep */
    step *step;
    const char *did; /* to its rows, for the log */
} task;


/* Tasks ------------------------------------------------------------------------------------------ */

/* A step that is a statement: it says in its first column how many rows it was. */
static int run_statement(const sf_caller *caller, sf_statement_id id, const char *const *values)
{
    sf_rows *rows;

    return sf_db_run(caller, id, values, &rows) ? -1 : atoi(sf_rows_value(rows, 0, 0));
}

static int expire_logs(const sf_caller *caller)
{
    const apr_time_t retention = apr_time_sec(sf_log_retention());
    const char *values[] = { apr_itoa(caller->pool, (int)retention), BATCH };

    return retention ? run_statement(caller, SF_STATEMENT_LOG_EXPIRE, values) : 0;
}

static int expire_idempotency_keys(const sf_caller *caller)
{
    static const char *const values[] = { BATCH };

    return run_statement(caller, SF_STATEMENT_IDEMPOTENCY_KEY_EXPIRE, values);
}

static const task tasks[] = {
    { "expire_logs", expire_logs, "old log entries removed" },
    { "expire_idempotency_keys", expire_idempotency_keys, "idempotency keys of yesterday removed" },
    { "rekey_variables", sf_variables_rekey, "Variables encrypted with the first key" },
};

#define TASKS (sizeof(tasks) / sizeof(*tasks))


/* Turns ------------------------------------------------------------------------------------------ */

/* Says what became of a turn; of failures in a row, only that it has come to them. */
static void report(const sf_caller *caller, const task *task, int rows, int failed)
{
    static int failing[TASKS];
    int *known = &failing[task - tasks];

    if (rows > 0) {
        sf_log(caller, APLOG_INFO, "SF0014", "%d %s", rows, task->did);
    }
    if (failed && !*known) {
        sf_log(caller, APLOG_WARNING, "SF0015", "%s fails, and is tried again when it is due",
               task->name);
    }
    *known = failed;
}

/* Step after step until nothing is left, or until it is due again and may be somebody else's. */
static void take_turn(const sf_caller *caller, const task *task, apr_time_t until)
{
    sf_caller own = *caller;
    int rows = 0;
    int count;

    apr_pool_create(&own.pool, caller->pool);
    do {
        apr_pool_clear(own.pool);
        count = task->step(&own);
        rows += count > 0 ? count : 0;
    } while (count > 0 && apr_time_now() < until && !sf_watchdog_stopping());
    report(caller, task, rows, count < 0);
    apr_pool_destroy(own.pool);
}

/* Does what is due in a database; 0 where it does not answer. */
static int keep(const sf_caller *caller)
{
    static const char *const none[] = { NULL };
    const apr_time_t begun = apr_time_now();
    sf_rows *due;
    int i;
    apr_size_t k;

    if (sf_db_run(caller, SF_STATEMENT_UPKEEP_BEGIN, none, &due)) {
        return 0;
    }
    for (i = 0; i < sf_rows_count(due); i++) {
        const char *name = sf_rows_value(due, i, 0);
        const int period = atoi(sf_rows_value(due, i, 1));

        for (k = 0; k < TASKS; k++) {
            if (strcmp(tasks[k].name, name) == 0) {
                take_turn(caller, &tasks[k], begun + apr_time_from_sec(period));
            }
        }
    }
    return 1;
}

/* mod_watchdog calls this every slice, in a thread of its own in each child. */
static apr_status_t look(int state, void *data, apr_pool_t *parent)
{
    static apr_time_t next_look;
    sf_caller caller = { NULL, NULL, NULL };

    if (state != AP_WATCHDOG_STATE_RUNNING || apr_time_now() < next_look) {
        return APR_SUCCESS;
    }
    next_look = apr_time_now() + LOOK_EVERY;
    apr_pool_create(&caller.pool, parent);
    for (caller.server = sf_next_database(data); caller.server;
         caller.server = sf_next_database(caller.server->next)) {
        if (!keep(&caller)) {
            next_look = apr_time_now() + REST;
        }
    }
    apr_pool_destroy(caller.pool);
    return APR_SUCCESS;
}

apr_status_t sf_maintenance_register(apr_pool_t *pconf, server_rec *s)
{
    return sf_watchdog_add("serverless-maintenance", look, s, pconf);
}
