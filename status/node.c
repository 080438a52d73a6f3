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
    [SF_NODE_SCHEMA] = "schema", [SF_NODE_KEYS] = "keys",
};

/* The columns of node_state. */
enum { BUILDS, BUILD_AGE, LACKS_KEY, ROUTE_LEASE, TASK, TASK_BEGUN };

/* By the number of the database, which begins at 1. */
static sf_node_database *databases;

apr_status_t sf_node_post_config(apr_pool_t *pool, server_rec *s)
{
    const apr_size_t size = sizeof(*databases) * (apr_size_t)(sf_config_databases(s) + 1);
    apr_shm_t *memory;
    const apr_status_t rv = apr_shm_create(&memory, size, NULL, pool);

    if (rv == APR_SUCCESS) {
        databases = apr_shm_baseaddr_get(memory);
        memset(databases, 0, size);
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

static void check(const sf_caller *caller, sf_node_database *database)
{
    const char *values[] = { key_ids(caller->pool) };
    sf_rows *rows;
    const sf_db_result result = sf_db_try(caller, SF_STATEMENT_NODE_STATE, values, &rows);

    database->state = result == SF_DB_OK ? read_rows(database, rows) : state_of(result);
    apr_atomic_set64(&database->checked_at, (apr_uint64_t)apr_time_now());
}

/* Whether the caller is to check the database: it is the first one in this second, or there was no check yet. */
static int claim(sf_node_database *database)
{
    const apr_uint32_t second = (apr_uint32_t)apr_time_sec(apr_time_now());
    const apr_uint32_t last = database->claimed;

    return (last != second && apr_atomic_cas32(&database->claimed, second, last) == last)
           || apr_atomic_read64(&database->checked_at) == 0;
}

const sf_node_database *sf_node_database_of(const sf_caller *caller, server_rec *server)
{
    const sf_caller checker = { caller->pool, server, caller->r };
    sf_node_database *database = &databases[sf_config_database(server)];

    if (claim(database)) {
        check(&checker, database);
    }
    return database;
}

sf_node_state sf_node_check(const sf_caller *caller)
{
    server_rec *s;

    for (s = sf_config_next_database(ap_server_conf); s; s = sf_config_next_database(s->next)) {
        const sf_node_state state = sf_node_database_of(caller, s)->state;

        if (state != SF_NODE_READY) {
            return state;
        }
    }
    return SF_NODE_READY;
}


/* The start ------------------------------------------------------------------------------------- */

static void announce(const sf_caller *caller)
{
    const sf_keyring *keys = sf_config_variable_keys();
    const char *node = sf_config_node();

    sf_log(caller, APLOG_NOTICE, "SF0105",
           "mod_serverless_functions %s serves: schema %d, database %s, %d keys of Variables, node "
           "%s, pipelining %s, %d "
           "connections in each child",
           SF_VERSION, SF_SCHEMA_VERSION, sf_db_label(caller->pool, caller->server),
           keys ? keys->count : 0, node ? node : "none", sf_config_pipelining() ? "on" : "off",
           sf_config_db_connections());
}

void sf_node_announce(apr_pool_t *pool, server_rec *s)
{
    for (s = sf_config_next_database(s); s; s = sf_config_next_database(s->next)) {
        sf_node_database *database = &databases[sf_config_database(s)];
        const sf_caller caller = { pool, s, NULL };

        if (sf_db_check_schema(&caller) && apr_atomic_xchg32(&database->announced, 1) == 0) {
            announce(&caller);
        }
    }
}
