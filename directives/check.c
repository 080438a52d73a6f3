#include "directives/check.h"

#include "core/config.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_log.h>
#include <stdlib.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

/* mod_dbd keeps its configuration to itself, so it is read from the configuration's tree. */
typedef struct {
    const char *driver;
    const char *params;
    int min;
    int keep;
    int max;
    int persist;
} dbd_settings;

/* The first argument of the last directive of this name in the list, or `otherwise`. */
static const char *argument(apr_pool_t *pool, const ap_directive_t *list, const char *name,
                            const char *otherwise)
{
    for (; list; list = list->next) {
        if (ap_cstr_casecmp(list->directive, name) == 0) {
            const char *rest = list->args;

            otherwise = ap_getword_conf(pool, &rest);
        }
    }
    return otherwise;
}

/* Whether this node of the tree is where the server is defined. */
static int defines(const ap_directive_t *node, const server_rec *s)
{
    return s->is_virtual && s->defn_name && ap_cstr_casecmp(node->directive, "<VirtualHost") == 0
           && (unsigned)node->line_num == s->defn_line_number
           && strcmp(node->filename, s->defn_name) == 0;
}

/* What stands in this server's <VirtualHost>; NULL for the main server. */
static const ap_directive_t *virtual_host(const server_rec *s)
{
    const ap_directive_t *node;

    for (node = ap_conftree; node; node = node->next) {
        if (defines(node, s)) {
            return node->first_child;
        }
    }
    return NULL;
}

/* Whether a file with this <VirtualHost> is included more than once: nobody can tell then which of
 * its servers is which. */
static int is_ambiguous(const server_rec *s)
{
    const ap_directive_t *node;
    int definitions = 0;

    for (node = ap_conftree; node; node = node->next) {
        definitions += defines(node, s);
    }
    return definitions > 1;
}

/* Of a virtual host where it says so, else of the main server, else mod_dbd's default. */
static const char *setting(apr_pool_t *pool, const server_rec *s, const char *name,
                           const char *otherwise)
{
    return argument(pool, virtual_host(s), name, argument(pool, ap_conftree, name, otherwise));
}

static void read_settings(apr_pool_t *pool, const server_rec *s, dbd_settings *dbd)
{
    dbd->driver = setting(pool, s, "DBDriver", "");
    dbd->params = is_ambiguous(s) ? apr_psprintf(pool, "of %pp alone", (const void *)s)
                                  : setting(pool, s, "DBDParams", "");
    dbd->min = atoi(setting(pool, s, "DBDMin", "1"));
    dbd->keep = atoi(setting(pool, s, "DBDKeep", "2"));
    dbd->max = atoi(setting(pool, s, "DBDMax", "10"));
    dbd->persist = ap_cstr_casecmp(setting(pool, s, "DBDPersist", "On"), "On") == 0;
}

static const char *complaint(apr_pool_t *pool, const dbd_settings *dbd)
{
    if (!ap_find_linked_module("mod_dbd.c")) {
        return "ServerlessFunctions needs mod_dbd: load it (LoadModule dbd_module)";
    }
    if (!ap_find_linked_module("mod_watchdog.c")) {
        return "ServerlessFunctions needs mod_watchdog: load it (LoadModule watchdog_module)";
    }
    if (strcmp(dbd->driver, "pgsql") != 0) {
        return *dbd->driver
                   ? apr_psprintf(pool, "ServerlessFunctions needs \"DBDriver pgsql\", not \"%s\"",
                                  dbd->driver)
                   : "ServerlessFunctions needs a database: set \"DBDriver pgsql\" and DBDParams";
    }
    if (!dbd->persist) {
        return "ServerlessFunctions needs \"DBDPersist On\": its statements are prepared";
    }
    if (dbd->min > dbd->keep || dbd->keep > dbd->max) {
        return apr_psprintf(pool,
                            "mod_dbd needs DBDMin <= DBDKeep <= DBDMax, but they are %d, %d, %d",
                            dbd->min, dbd->keep, dbd->max);
    }
    if (sf_process.db_connections > dbd->max) {
        return apr_psprintf(pool, "ServerlessDBConnections %d must not be above DBDMax %d",
                            sf_process.db_connections, dbd->max);
    }
    return NULL;
}

/* The server's own configuration: a virtual host that says nothing of ours shares that of the main
 * server, but not necessarily its database. */
static sf_server_config *own_config(apr_pool_t *pool, server_rec *s)
{
    const void *shared = ap_get_module_config(s->module_config, &serverless_functions_module);
    sf_server_config *config = apr_pmemdup(pool, shared, sizeof(*config));

    ap_set_module_config(s->module_config, &serverless_functions_module, config);
    return config;
}

/* Numbers the databases that have the API, by how they are reached. */
static void number_database(sf_server_config *config, apr_array_header_t *databases,
                            const char *params)
{
    const char **known = (const char **)databases->elts;
    int i = 0;

    while (i < databases->nelts && strcmp(known[i], params) != 0) {
        i++;
    }
    config->database = i + 1;
    config->owns_database = i == databases->nelts;
    if (config->owns_database) {
        APR_ARRAY_PUSH(databases, const char *) = params;
    }
}

/* What the process does by default depends on the smallest pool of mod_dbd's. */
static int settle_process(int least, server_rec *s)
{
    sf_process.db_connections = sf_db_connections(least);
    sf_process.pipelining = sf_pipelining(sf_process.db_connections);
    if (sf_process.pipelining && sf_process.db_connections < SF_LEAST_FOR_PIPELINING) {
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, 0, s,
                     "ServerlessPipelining takes %d of the ServerlessDBConnections (%d): there "
                     "must be %d or more",
                     SF_PIPELINES, sf_process.db_connections, SF_LEAST_FOR_PIPELINING);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

int sf_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    apr_array_header_t *databases = apr_array_make(ptemp, 2, sizeof(const char *));
    server_rec *main_server = s;
    int least = 0;

    (void)plog;
    for (; s; s = s->next) {
        sf_server_config *config = own_config(pconf, s);
        dbd_settings dbd;
        const char *wrong;

        if (config->enabled != 1) {
            continue;
        }
        read_settings(ptemp, s, &dbd);
        wrong = complaint(ptemp, &dbd);
        if (wrong) {
            ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, 0, s, "%s%s%s", wrong,
                         s->is_virtual ? " in the virtual host " : "",
                         s->is_virtual ? s->server_hostname : "");
            return HTTP_INTERNAL_SERVER_ERROR;
        }
        number_database(config, databases, dbd.params);
        least = least == 0 || dbd.max < least ? dbd.max : least;
    }
    return least > 0 ? settle_process(least, main_server) : OK;
}
