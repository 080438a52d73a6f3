#include "status/node.h"

#include "core/config.h"
#include "core/crypto/keyring.h"
#include "core/db/db.h"
#include "core/log.h"
#include "statements.h"
#include "version.h"

#include <apr_atomic.h>
#include <apr_shm.h>
#include <apr_strings.h>
#include <http_log.h>
#include <http_main.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {
    [SF_NODE_READY] = "ready",   [SF_NODE_DATABASE] = "database", [SF_NODE_BUSY] = "connections",
    [SF_NODE_SCHEMA] = "schema", [SF_NODE_RUNNER] = "runner",     [SF_NODE_KEYS] = "keys",
};

/* The columns of node_state. */
enum { BUILDS, BUILD_AGE, LACKS_KEY, ROUTE_LEASE, TASK, TASK_BEGUN };

/* The memory that children share. */
typedef struct {
    sf_node_runner runner;
    sf_node_database databases[1]; /* by the number of the database, which begins at 1 */
} node;

static node *shared;

apr_status_t sf_node_post_config(apr_pool_t *pool, server_rec *s)
{
    const apr_size_t size
        = sizeof(*shared) + sizeof(sf_node_database) * (apr_size_t)sf_config_databases(s);
    apr_shm_t *memory;
    const apr_status_t rv = apr_shm_create(&memory, size, NULL, pool);

    if (rv == APR_SUCCESS) {
        shared = apr_shm_baseaddr_get(memory);
        memset(shared, 0, size);
    }
    return rv;
}

const char *sf_node_word(sf_node_state state)
{
    return words[state];
}


/* Checks ---------------------------------------------------------------------------------------- */

/* Returns the ids of this node's keys as an array of PostgreSQL. */
static const char *key_ids(apr_pool_t *pool)
{
    const sf_keyring *keys = sf_config_variable_keys();
    const char *ids = "{";
    int i;

    for (i = 0; keys && i < keys->count; i++) {
        ids = apr_pstrcat(pool, ids, i > 0 ? "," : "", keys->key[i].id, NULL);
    }
    return apr_pstrcat(pool, ids, "}", NULL);
}

static apr_uint64_t number_at(sf_rows *rows, int row, int column)
{
    return strtoull(sf_rows_value(rows, row, column), NULL, 10);
}

static void read_tasks(sf_node_database *database, sf_rows *rows)
{
    int i;

    for (i = 0; i < SF_NODE_TASKS && i < sf_rows_count(rows); i++) {
        apr_cpystrn(database->tasks[i].name, sf_rows_value(rows, i, TASK), SF_NODE_TASK_NAME);
        database->tasks[i].begun = number_at(rows, i, TASK_BEGUN);
    }
}

/* Reads the rows of node_state. Returns the state. */
static sf_node_state read_rows(sf_node_database *database, sf_rows *rows)
{
    if (sf_rows_count(rows) == 0) { /* the table of tasks was emptied by hand */
        return SF_NODE_SCHEMA;
    }
    database->builds = number_at(rows, 0, BUILDS);
    database->build_age = number_at(rows, 0, BUILD_AGE);
    database->route_lease = number_at(rows, 0, ROUTE_LEASE);
    read_tasks(database, rows);
    return *sf_rows_value(rows, 0, LACKS_KEY) == 't' ? SF_NODE_KEYS : SF_NODE_READY;
}

/* Returns the state for a statement that has failed. */
static sf_node_state state_of(sf_db_result result)
{
    switch (result) {
    case SF_DB_NO_SCHEMA:
        return SF_NODE_SCHEMA;
    case SF_DB_BUSY:
        return SF_NODE_BUSY;
    default:
        return SF_NODE_DATABASE;
    }
}

/* Whether the caller is to check: it is the first one in this second, or there was no check yet. */
static int claim(sf_node_age *age)
{
    const apr_uint32_t second = (apr_uint32_t)apr_time_sec(apr_time_now());
    const apr_uint32_t last = age->claimed;

    return (last != second && apr_atomic_cas32(&age->claimed, second, last) == last)
           || apr_atomic_read64(&age->checked_at) == 0;
}

static void end_check(sf_node_age *age)
{
    apr_atomic_set64(&age->checked_at, (apr_uint64_t)apr_time_now());
}

static void check(const sf_caller *caller, sf_node_database *database)
{
    const char *values[] = { key_ids(caller->pool) };
    sf_rows *rows;
    const sf_db_result result = sf_db_try(caller, SF_STATEMENT_NODE_STATE, values, &rows);

    database->state = result == SF_DB_OK ? read_rows(database, rows) : state_of(result);
    end_check(&database->age);
}

const sf_node_database *sf_node_database_of(const sf_caller *caller, server_rec *server)
{
    const sf_caller checker = { caller->pool, server, caller->r };
    sf_node_database *database = &shared->databases[sf_config_database(server)];

    if (claim(&database->age)) {
        check(&checker, database);
    }
    return database;
}

static void check_runner(apr_pool_t *pool, sf_node_runner *runner)
{
    sf_runner_state state;
    int i;

    runner->state = sf_runner_check(pool, &state) == APR_SUCCESS ? SF_NODE_READY : SF_NODE_RUNNER;
    for (i = 0; i < SF_ISOLATE_STATES_SHOWN; i++) {
        runner->isolates[i] = state.isolates[i];
    }
    runner->waiting = state.waiting;
    end_check(&runner->age);
}

const sf_node_runner *sf_node_runner_of(apr_pool_t *pool)
{
    if (!sf_config_runner()) {
        return NULL;
    }
    if (claim(&shared->runner.age)) {
        check_runner(pool, &shared->runner);
    }
    return &shared->runner;
}

sf_node_state sf_node_check(const sf_caller *caller)
{
    const sf_node_runner *runner;
    server_rec *s;

    for (s = sf_config_next_database(ap_server_conf); s; s = sf_config_next_database(s->next)) {
        const sf_node_state state = sf_node_database_of(caller, s)->state;

        if (state != SF_NODE_READY) {
            return state;
        }
    }
    runner = sf_node_runner_of(caller->pool);
    return runner ? runner->state : SF_NODE_READY;
}


/* The start ------------------------------------------------------------------------------------- */

/* Returns the part of the notice about Functions. */
static const char *runner_text(apr_pool_t *pool)
{
    const char *path = sf_config_runner();
    sf_runner_state state;
    char reason[80];
    apr_status_t rv;

    if (!path) {
        return "Functions are not executed";
    }
    rv = sf_runner_check(pool, &state);
    if (rv != APR_SUCCESS) {
        return apr_psprintf(pool, "runner %s, which does not answer: %s", path,
                            apr_strerror(rv, reason, sizeof(reason)));
    }
    return apr_psprintf(pool, "runner %s with isolation %s", path, state.isolation);
}

static void announce(const sf_caller *caller)
{
    const sf_keyring *keys = sf_config_variable_keys();
    const char *node = sf_config_node();

    sf_log(caller, APLOG_NOTICE, "SF0105",
           "mod_serverless_functions %s serves: schema %d, database %s, %d keys of Variables, node "
           "%s, pipelining %s, %d connections in each child, %s",
           SF_VERSION, SF_SCHEMA_VERSION, sf_db_label(caller->pool, caller->server),
           keys ? keys->count : 0, node ? node : "none", sf_config_pipelining() ? "on" : "off",
           sf_config_db_connections(), runner_text(caller->pool));
}

void sf_node_announce(apr_pool_t *pool, server_rec *s)
{
    for (s = sf_config_next_database(s); s; s = sf_config_next_database(s->next)) {
        sf_node_database *database = &shared->databases[sf_config_database(s)];
        const sf_caller caller = { pool, s, NULL };

        if (sf_db_check_schema(&caller) && apr_atomic_xchg32(&database->announced, 1) == 0) {
            announce(&caller);
        }
    }
}
