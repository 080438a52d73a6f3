#include "worker/maintenance.h"

#include "core/config.h"
#include "core/db/db.h"
#include "core/log.h"
#include "worker/background.h"
#include "worker/rekey.h"

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

#define TASKS 3

/* A database, to this child. */
typedef struct {
    sf_background_task watched;
    int failing[TASKS]; /* which the log knows of */
    sf_rekey_walk rekey;
} household;

/* One statement's worth of a task, or a hundred rows': adds to `rows` how many it took care of. Returns
 * 1, 0 where nothing is left, or -1 where it failed, and the log has said why. Two may be at it at once,
 * if one takes very long. */
typedef int step(household *household, const sf_caller *caller, int *rows);

typedef struct {
    const char *name; /* in serverless.upkeep */
    step *step;
    const char *did; /* to its rows, for the log */
} task;


/* Tasks ------------------------------------------------------------------------------------------ */

/* A step that is a statement: it says in its first column how many rows it was. */
static int run_statement(const sf_caller *caller, sf_statement_id id, const char *const *values,
                         int *rows)
{
    sf_rows *answer;
    int count;

    if (sf_db_run(caller, id, values, &answer)) {
        return -1;
    }
    count = atoi(sf_rows_value(answer, 0, 0));
    *rows += count;
    return count > 0;
}

static int expire_logs(household *household, const sf_caller *caller, int *rows)
{
    const apr_time_t retention = apr_time_sec(sf_config_log_retention());
    const char *values[] = { apr_itoa(caller->pool, (int)retention), BATCH };

    (void)household;
    return retention ? run_statement(caller, SF_STATEMENT_LOG_EXPIRE, values, rows) : 0;
}

static int expire_idempotency_keys(household *household, const sf_caller *caller, int *rows)
{
    static const char *const values[] = { BATCH };

    (void)household;
    return run_statement(caller, SF_STATEMENT_IDEMPOTENCY_KEY_EXPIRE, values, rows);
}

static int rekey_variables(household *household, const sf_caller *caller, int *rows)
{
    return sf_variables_rekey(caller, &household->rekey, rows);
}

static const task tasks[TASKS] = {
    { "expire_logs", expire_logs, "old log entries removed" },
    { "expire_idempotency_keys", expire_idempotency_keys, "idempotency keys of yesterday removed" },
    { "rekey_variables", rekey_variables, "Variables encrypted with the first key" },
};


/* Turns ------------------------------------------------------------------------------------------ */

/* Says what became of a turn; of failures in a row, only that it has come to them. */
static void report(household *household, const sf_caller *caller, const task *task, int rows,
                   int failed)
{
    int *known = &household->failing[task - tasks];

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
static void take_turn(household *household, const sf_caller *caller, const task *task,
                      apr_time_t until)
{
    sf_caller own = *caller;
    int rows = 0;
    int result;

    apr_pool_create(&own.pool, caller->pool);
    do {
        apr_pool_clear(own.pool);
        result = task->step(household, &own, &rows);
    } while (result > 0 && apr_time_now() < until && !sf_background_stopping());
    report(household, caller, task, rows, result < 0);
    apr_pool_destroy(own.pool);
}

/* Does what is due in a database; 0 where it does not answer. */
static int keep(household *household, const sf_caller *caller)
{
    static const char *const none[] = { NULL };
    const apr_time_t begun = apr_time_now();
    sf_rows *due;
    int i;
    int k;

    if (sf_db_run(caller, SF_STATEMENT_UPKEEP_BEGIN, none, &due)) {
        return 0;
    }
    for (i = 0; i < sf_rows_count(due); i++) {
        const char *name = sf_rows_value(due, i, 0);
        const int period = atoi(sf_rows_value(due, i, 1));

        for (k = 0; k < TASKS; k++) {
            if (strcmp(tasks[k].name, name) == 0) {
                take_turn(household, caller, &tasks[k], begun + apr_time_from_sec(period));
            }
        }
    }
    return 1;
}

static void look(sf_background_task *watched, apr_pool_t *parent)
{
    sf_caller caller = { NULL, watched->server, NULL };

    if (apr_time_now() < watched->next_look) {
        return;
    }
    watched->next_look = apr_time_now() + LOOK_EVERY;
    apr_pool_create(&caller.pool, parent);
    if (!keep((household *)watched, &caller)) {
        watched->next_look = apr_time_now() + REST;
    }
    apr_pool_destroy(caller.pool);
}

apr_status_t sf_maintenance_register(apr_pool_t *pconf, server_rec *s)
{
    return sf_background_add("serverless-maintenance", look, sizeof(household), s, pconf);
}
