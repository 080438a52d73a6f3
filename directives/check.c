#include "directives/check.h"

#include "core/config_fields.h"
#include "directives/tree.h"
#include "directives/warn.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_log.h>
#include <stdlib.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

/* The settings of mod_dbd, which has no function to ask for them: they are read from the tree of
 * directives. */
typedef struct {
    const char *driver;
    const char *params;
    int min;
    int keep;
    int max;
    int persist;
    int expiry; /* seconds */
} dbd_settings;

/* Returns the argument of a directive of the virtual host, else of the main server, else
 * `otherwise`, which is mod_dbd's default. */
static const char *dbd_argument(apr_pool_t *pool, const server_rec *s, const char *name,
                                const char *otherwise)
{
    return sf_tree_argument(pool, sf_tree_virtual_host(s), name,
                            sf_tree_argument(pool, ap_conftree, name, otherwise));
}

/* An ambiguous virtual host counts as a database of its own. */
static void read_settings(apr_pool_t *pool, const server_rec *s, dbd_settings *dbd)
{
    dbd->driver = dbd_argument(pool, s, "DBDriver", "");
    dbd->params = sf_tree_is_ambiguous(s) ? apr_psprintf(pool, "of %pp alone", (const void *)s)
                                          : dbd_argument(pool, s, "DBDParams", "");
    dbd->min = atoi(dbd_argument(pool, s, "DBDMin", "1"));
    dbd->keep = atoi(dbd_argument(pool, s, "DBDKeep", "2"));
    dbd->max = atoi(dbd_argument(pool, s, "DBDMax", "10"));
    dbd->persist = ap_cstr_casecmp(dbd_argument(pool, s, "DBDPersist", "On"), "On") == 0;
    dbd->expiry = atoi(dbd_argument(pool, s, "DBDExptime", "300"));
}

/* Returns an error message for settings of mod_dbd that the API cannot work with, or NULL. */
static const char *dbd_message(apr_pool_t *pool, const dbd_settings *dbd)
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
    if (sf_config_process()->db_connections > dbd->max) {
        return apr_psprintf(pool, "ServerlessDBConnections %d must not be above DBDMax %d",
                            sf_config_process()->db_connections, dbd->max);
    }
    return NULL;
}

/* Sets the virtual host's database. Virtual hosts with the same DBDParams have the same one, with the
 * same number. */
static void number_database(sf_server_config *config, apr_array_header_t *databases,
                            const dbd_settings *dbd)
{
    const char **known = (const char **)databases->elts;
    const char *params = dbd->params;
    int i = 0;

    while (i < databases->nelts && strcmp(known[i], params) != 0) {
        i++;
    }
    config->db_idle_time = apr_time_from_sec(dbd->expiry);
    config->database = i + 1;
    config->owns_database = i == databases->nelts;
    if (config->owns_database) {
        APR_ARRAY_PUSH(databases, const char *) = params;
    }
}

/* Returns an error message where pipelining leaves too few connections, or NULL. */
static const char *pipelining_message(apr_pool_t *pool)
{
    const int connections = sf_config_db_connections();

    if (!sf_config_pipelining() || connections >= SF_PIPELINING_MIN_CONNECTIONS) {
        return NULL;
    }
    return apr_psprintf(pool,
                        "ServerlessPipelining takes %d of the ServerlessDBConnections (%d): there "
                        "must be %d or more",
                        SF_PIPELINES, connections, SF_PIPELINING_MIN_CONNECTIONS);
}

/* Warns of DBDParams without connect_timeout. libpq reads it from the environment, too. */
static void check_connect_timeout(const server_rec *s, const dbd_settings *dbd)
{
    if (!strstr(dbd->params, "connect_timeout") && !getenv("PGCONNECT_TIMEOUT")) {
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_WARNING, 0, s,
                     "SF0034: DBDParams has no connect_timeout: connecting to a database that does "
                     "not answer takes minutes");
    }
}

/* Returns an error message for limits on requests that could never be reached, or NULL. */
static const char *request_limit_message(apr_pool_t *pool)
{
    const sf_process_config *process = sf_config_process();
    const int workers = sf_config_workers();

    if (process->request_limit >= workers) {
        return apr_psprintf(pool,
                            "ServerlessMaxRequests %d must be below %d, the number of workers "
                            "(MaxRequestWorkers), or Off",
                            process->request_limit, workers);
    }
    if (process->account_request_limit >= workers) {
        return apr_psprintf(pool,
                            "ServerlessMaxRequestsPerAccount %d must be below %d, the number of "
                            "workers (MaxRequestWorkers), or Off",
                            process->account_request_limit, workers);
    }
    return NULL;
}

/* Whether a ServerName or ServerAlias, in lower case or not, can be a host directly below the tail:
 * "x.tail", "*.tail", or a pattern that some such host matches. */
static int can_match(apr_pool_t *pool, const char *name, const char *tail)
{
    const char *end = apr_pstrcat(pool, ".", tail, NULL);
    const apr_size_t length = strlen(name);

    if (ap_is_matchexp(name)) {
        return ap_strcasecmp_match(apr_pstrcat(pool, "a-0000", end, NULL), name) == 0
               || (length > strlen(end) && ap_cstr_casecmp(name + length - strlen(end), end) == 0);
    }
    return length > strlen(end) && ap_cstr_casecmp(name + length - strlen(end), end) == 0;
}

static int any_can_match(apr_pool_t *pool, const apr_array_header_t *names, const char *tail)
{
    int i;

    for (i = 0; names && i < names->nelts; i++) {
        if (APR_ARRAY_IDX(names, i, const char *)
            && can_match(pool, APR_ARRAY_IDX(names, i, const char *), tail)) {
            return 1;
        }
    }
    return 0;
}

/* Whether requests to hosts below the tail can reach the server by one of its names. The main server has
 * requests that no virtual host wants. */
static int can_serve_tail(apr_pool_t *pool, const server_rec *s, const char *tail)
{
    return !s->is_virtual || (s->server_hostname && can_match(pool, s->server_hostname, tail))
           || any_can_match(pool, s->names, tail) || any_can_match(pool, s->wild_names, tail);
}

/* Returns an error message for a virtual host with ServerlessExecution that no domain can reach, or
 * NULL. */
static const char *domain_message(apr_pool_t *pool, const server_rec *s)
{
    const char *tail = sf_config_own_domain(s);

    if (sf_config_environment(s)) {
        return NULL;
    }
    if (!tail) {
        return "ServerlessExecution needs ServerlessDomain, in the same virtual host or the server "
               "config";
    }
    return can_serve_tail(pool, s, tail)
               ? NULL
               : apr_psprintf(pool,
                              "ServerlessExecution needs a ServerName or ServerAlias that matches "
                              "the domains of Environments, such as \"ServerAlias *.%s\"",
                              tail);
}

/* Returns an error message for DBDParams with several hosts that may lead to a standby, with rows that lag
 * behind, or NULL. */
static const char *standby_message(const char *params)
{
    const char *host = strstr(params, "host=");
    const char *end = host ? host + strcspn(host, " \t") : NULL;

    if (!host || !memchr(host, ',', (size_t)(end - host))
        || strstr(params, "target_session_attrs=read-write")
        || strstr(params, "target_session_attrs=primary")) {
        return NULL;
    }
    return "ServerlessExecution needs \"target_session_attrs=read-write\" in DBDParams with "
           "several "
           "hosts: it must read from the primary";
}

/* ServerlessExecution of the main server is not that of virtual hosts whose names are no domains, such as
 * the host of the API. */
static void drop_inherited_execution(apr_pool_t *pool, const server_rec *main_server,
                                     const server_rec *s)
{
    if (s != main_server && sf_config_executes(main_server) && sf_config_executes(s)
        && domain_message(pool, s)) {
        sf_config_server(s)->executes = 0;
    }
}

/* Warns of an API in a virtual host with domains: a page among an Environment's Assets then has an origin
 * at which the API answers, and can act with the credentials that a browser keeps for it. */
static void warn_of_shared_origin(const server_rec *s)
{
    if (sf_config_has_api(s) && sf_config_executes(s)) {
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_WARNING, 0, s,
                     "ServerlessExecution and ServerlessFunctions are in one virtual host: Assets "
                     "have an origin at which the API answers, and can act in the name of its "
                     "users");
    }
}

/* Returns the last ErrorLogFormat in the list that formats each line, and not a line for each request or
 * connection; or NULL. */
static const char *error_log_format(const ap_directive_t *list)
{
    const char *format = NULL;

    for (; list; list = list->next) {
        if (ap_cstr_casecmp(list->directive, "ErrorLogFormat") == 0
            && ap_cstr_casecmpn(list->args, "request", 7) != 0
            && ap_cstr_casecmpn(list->args, "connection", 10) != 0) {
            format = list->args;
        }
    }
    return format;
}

/* Whether httpd writes the request's id (%L) into each line of the server's error log. */
static int logs_request_id(const server_rec *s)
{
    const char *format = error_log_format(sf_tree_of(s));

    format = format ? format : error_log_format(ap_conftree);
    return format && (strstr(format, "%L") || strstr(format, "%-L") || strstr(format, "%+L"));
}

/* Has requests get their notes where a format names one, because notes cost time. */
static void find_notes(void)
{
    static const char *const notes[] = { "{serverless-operation}", "{serverless-statements}",
                                         "{serverless-database-time}", "{serverless-queue-time}" };
    size_t i;

    for (i = 0; i < sizeof(notes) / sizeof(*notes); i++) {
        if (sf_tree_mentions(ap_conftree, notes[i])) {
            sf_config_want_notes();
        }
    }
}

/* Logs the message and the virtual host that it concerns. Returns the hook's result for an
 * error. */
static int refuse_config(const server_rec *s, const char *message)
{
    ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, 0, s, "%s%s%s", message,
                 s->is_virtual ? " in the virtual host " : "",
                 s->is_virtual ? s->server_hostname : "");
    return HTTP_INTERNAL_SERVER_ERROR;
}

/* Returns an error message for the settings of a server with the API or domains, or NULL. */
static const char *server_message(apr_pool_t *pool, const server_rec *s, const dbd_settings *dbd)
{
    const char *message = dbd_message(pool, dbd);

    if (!message && sf_config_executes(s)) {
        message = domain_message(pool, s);
        message = message ? message : standby_message(dbd->params);
    }
    return message;
}

/* Takes over the database of a server with the right settings, and warns of those that are hardly meant. */
static void accept_server(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s,
                          apr_array_header_t *databases, const dbd_settings *dbd)
{
    sf_server_config *config = sf_config_server(s);

    number_database(config, databases, dbd);
    config->db_params = sf_tree_is_ambiguous(s) ? NULL : apr_pstrdup(pconf, dbd->params);
    if (config->owns_database && !sf_tree_is_ambiguous(s)) {
        check_connect_timeout(s, dbd);
    }
    warn_of_shared_origin(s);
    sf_warn_of_api(ptemp, s);
}

/* Resolves and checks the values of the process. Returns an error message or NULL. */
static const char *process_message(apr_pool_t *pool, server_rec *main_server, int smallest_pool)
{
    const char *message;

    sf_warn_of_shared_databases(pool, main_server);
    sf_config_resolve(smallest_pool);
    find_notes();
    message = pipelining_message(pool);
    return message ? message : request_limit_message(pool);
}

int sf_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    apr_array_header_t *databases = apr_array_make(ptemp, 2, sizeof(const char *));
    server_rec *main_server = s;
    int smallest_pool = 0;
    const char *message;

    (void)plog;
    for (; s; s = s->next) {
        dbd_settings dbd;

        sf_config_own_server(pconf, s)->logs_request_id = logs_request_id(s);
        drop_inherited_execution(ptemp, main_server, s);
        if (!sf_config_has_database(s)) {
            continue;
        }
        read_settings(ptemp, s, &dbd);
        message = server_message(ptemp, s, &dbd);
        if (message) {
            return refuse_config(s, message);
        }
        accept_server(pconf, ptemp, s, databases, &dbd);
        if (smallest_pool == 0 || dbd.max < smallest_pool) {
            smallest_pool = dbd.max;
        }
    }
    if (smallest_pool == 0) { /* neither API nor domains */
        return OK;
    }
    message = process_message(ptemp, main_server, smallest_pool);
    return message ? refuse_config(main_server, message) : OK;
}
