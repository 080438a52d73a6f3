/* Licensed under the Apache License, Version 2.0; see LICENSE.
 *
 * The module as httpd sees it: its record, its directives and its hooks. What the API is, handlers/
 * knows. */
#include "core/api/row_json.h"
#include "core/auth/ownership_cache.h"
#include "core/auth/password_cache.h"
#include "core/auth/provider.h"
#include "core/config.h"
#include "core/crypto/keyring.h"
#include "core/db/connection_limit.h"
#include "core/db/db.h"
#include "core/http/cors.h"
#include "core/http/error_filter.h"
#include "core/request_id.h"
#include "directives/check.h"
#include "handlers/openapi.h"
#include "handlers/routes.h"
#include "worker/background.h"
#include "worker/build_worker.h"
#include "worker/maintenance.h"

#include <apr_fnmatch.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_uri.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <ap_mpm.h>
#include <mpm_common.h>
#include <stdlib.h>
#include <string.h>

/* The one symbol that is not hidden. */
module AP_MODULE_DECLARE_DATA serverless_functions_module __attribute__((visibility("default")));


/* Configuration ---------------------------------------------------------------------------------- */

#define COLLECTION "/Services"

/* The most that may be configured in bytes: for what is held in memory, as a text of JSON several times
 * as long, and for what passes through it in chunks. */
#define MEMORY_LIMIT (64 * 1024 * 1024)
#define STORE_LIMIT (1024 * 1024 * 1024)

#define DAY apr_time_from_sec(24 * 60 * 60)

#define DEFAULT_FORM_LIMIT (256 * 1024)
#define DEFAULT_DELETE_LIMIT apr_time_from_sec(60)
#define DEFAULT_DB_CONNECTIONS 4
#define DEFAULT_DB_TIMEOUT apr_time_from_sec(2)
#define DEFAULT_FUNCTION_LIMIT (1024 * 1024)
#define DEFAULT_ASSET_LIMIT (25 * 1024 * 1024)
#define DEFAULT_BUILD_TIMEOUT apr_time_from_sec(30)
#define DEFAULT_LOG_RETENTION (30 * DAY)
#define DEFAULT_DOMAIN "twil.io"

/* Those of the published description; the last is the default. */
static const char *const default_runtimes[]
    = { "node8", "node10", "node12", "node14", "node16", "node18", "node20", "node22" };

#define RUNTIME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_"

sf_process_config sf_process;

static void *create_dir_config(apr_pool_t *pool, char *path)
{
    sf_dir_config *config = apr_pcalloc(pool, sizeof(*config));

    (void)path;
    config->enabled = SF_UNSET;
    config->form_limit = SF_UNSET;
    config->delete_limit = SF_UNSET;
    return config;
}

static void *merge_dir_config(apr_pool_t *pool, void *parent, void *child)
{
    sf_dir_config *merged = apr_pcalloc(pool, sizeof(*merged));
    const sf_dir_config *base = parent;
    const sf_dir_config *own = child;

    merged->enabled = own->enabled != SF_UNSET ? own->enabled : base->enabled;
    merged->prefix = own->prefix ? own->prefix : base->prefix;
    merged->base_url = own->base_url ? own->base_url : base->base_url;
    merged->form_limit = own->form_limit != SF_UNSET ? own->form_limit : base->form_limit;
    merged->delete_limit = own->delete_limit != SF_UNSET ? own->delete_limit : base->delete_limit;
    merged->domain = own->domain ? own->domain : base->domain;
    merged->runtimes = own->runtimes ? own->runtimes : base->runtimes;
    merged->origins = own->origins ? own->origins : base->origins;
    return merged;
}

static void *create_server_config(apr_pool_t *pool, server_rec *s)
{
    sf_server_config *config = apr_pcalloc(pool, sizeof(*config));

    (void)s;
    config->enabled = SF_UNSET;
    return config;
}

/* A <Location> of the main server is every virtual host's, too. */
static void *merge_server_config(apr_pool_t *pool, void *parent, void *child)
{
    sf_server_config *merged = apr_pcalloc(pool, sizeof(*merged));
    const sf_server_config *base = parent;
    const sf_server_config *own = child;

    merged->enabled = own->enabled != SF_UNSET ? own->enabled : base->enabled;
    return merged;
}

const sf_dir_config *sf_dir_config_of(const request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &serverless_functions_module);
}

const sf_server_config *sf_server_config_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &serverless_functions_module);
}

server_rec *sf_next_database(server_rec *s)
{
    while (s && !sf_server_config_of(s)->owns_database) {
        s = s->next;
    }
    return s;
}

apr_off_t sf_form_limit(const request_rec *r)
{
    const apr_off_t limit = sf_dir_config_of(r)->form_limit;

    return limit != SF_UNSET ? limit : DEFAULT_FORM_LIMIT;
}

apr_interval_time_t sf_delete_limit(const request_rec *r)
{
    const apr_interval_time_t limit = sf_dir_config_of(r)->delete_limit;

    return limit != SF_UNSET ? limit : DEFAULT_DELETE_LIMIT;
}

const char *sf_domain(const request_rec *r)
{
    const char *domain = sf_dir_config_of(r)->domain;

    return domain ? domain : DEFAULT_DOMAIN;
}

const char *const *sf_runtimes(const request_rec *r, int *count)
{
    const apr_array_header_t *runtimes = sf_dir_config_of(r)->runtimes;

    if (!runtimes) {
        *count = sizeof(default_runtimes) / sizeof(*default_runtimes);
        return default_runtimes;
    }
    *count = runtimes->nelts;
    return (const char *const *)runtimes->elts;
}

apr_off_t sf_function_limit(void)
{
    return sf_process.function_limit != SF_UNSET ? sf_process.function_limit
                                                 : DEFAULT_FUNCTION_LIMIT;
}

apr_off_t sf_asset_limit(void)
{
    return sf_process.asset_limit != SF_UNSET ? sf_process.asset_limit : DEFAULT_ASSET_LIMIT;
}

apr_interval_time_t sf_build_timeout(void)
{
    return sf_process.build_timeout != SF_UNSET ? sf_process.build_timeout : DEFAULT_BUILD_TIMEOUT;
}

apr_interval_time_t sf_log_retention(void)
{
    return sf_process.log_retention != SF_UNSET ? sf_process.log_retention : DEFAULT_LOG_RETENTION;
}

const sf_secret_keys *sf_variable_keys(void)
{
    return sf_process.variable_keys;
}

int sf_db_connections(int maximum)
{
    if (sf_process.db_connections != SF_UNSET) {
        return sf_process.db_connections;
    }
    return maximum < DEFAULT_DB_CONNECTIONS ? maximum : DEFAULT_DB_CONNECTIONS;
}

int sf_pipelining(int connections)
{
    int threaded = 0;

    return ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded) == APR_SUCCESS && threaded
           && (sf_process.pipelining != SF_UNSET ? sf_process.pipelining
                                                 : connections >= SF_LEAST_FOR_PIPELINING);
}

apr_interval_time_t sf_db_timeout(void)
{
    return sf_process.db_timeout != SF_UNSET ? sf_process.db_timeout : DEFAULT_DB_TIMEOUT;
}


/* Directives ------------------------------------------------------------------------------------- */

static const char *wrong(cmd_parms *cmd, const char *what)
{
    return apr_psprintf(cmd->pool, "%s %s", cmd->cmd->name, what);
}

/* A time with its unit ("500ms", "2s"); seconds where none is given. */
static const char *read_time(cmd_parms *cmd, const char *text, apr_interval_time_t *time)
{
    if (ap_timeout_parameter_parse(text, time, "s") != APR_SUCCESS || *time < 1000 || *time > DAY) {
        return wrong(cmd, "takes a time from 1ms to 24h, such as 2s or 500ms");
    }
    return NULL;
}

/* What stands before /Services in the path of the <Location> around, as "/v1"; NULL where the path
 * ends otherwise, or is a pattern: then nobody knows how long what it matches is. */
static const char *prefix_of(const cmd_parms *cmd)
{
    const ap_directive_t *section = cmd->directive->parent;
    const apr_size_t length = cmd->path ? strlen(cmd->path) : 0;
    const apr_size_t tail = strlen(COLLECTION);

    if (!section || ap_cstr_casecmp(section->directive, "<Location") != 0 || *section->args == '~'
        || length < tail || strcmp(cmd->path + length - tail, COLLECTION) != 0
        || apr_fnmatch_test(cmd->path)) {
        return NULL;
    }
    return apr_pstrmemdup(cmd->pool, cmd->path, length - tail);
}

static const char *set_enabled(cmd_parms *cmd, void *dir, int on)
{
    sf_server_config *server
        = ap_get_module_config(cmd->server->module_config, &serverless_functions_module);
    sf_dir_config *config = dir;
    const char *misplaced = ap_check_cmd_context(cmd, NOT_IN_DIRECTORY | NOT_IN_FILES | NOT_IN_LIMIT
                                                          | NOT_IN_HTACCESS);

    if (misplaced) {
        return misplaced;
    }
    config->enabled = on;
    if (!on) {
        return NULL;
    }
    config->prefix = prefix_of(cmd);
    if (!config->prefix) {
        return wrong(cmd, "belongs into <Location \"/v1/Services\">");
    }
    server->enabled = 1;
    return NULL;
}

/* Whether it can stand in a header as it is. */
static int is_plain(const char *text)
{
    while (apr_isgraph(*text)) {
        text++;
    }
    return !*text;
}

static const char *set_base_url(cmd_parms *cmd, void *dir, const char *url)
{
    sf_dir_config *config = dir;
    apr_uri_t parsed;

    if (apr_uri_parse(cmd->temp_pool, url, &parsed) != APR_SUCCESS || !parsed.scheme
        || (strcmp(parsed.scheme, "https") != 0 && strcmp(parsed.scheme, "http") != 0)
        || !parsed.hostname || !*parsed.hostname || parsed.query || parsed.fragment || parsed.user
        || url[strlen(url) - 1] == '/' || !is_plain(url)) {
        return wrong(cmd, "takes a URL such as https://serverless.example.com, without a slash "
                          "at its end");
    }
    config->base_url = url;
    return NULL;
}

static const char *read_bytes(cmd_parms *cmd, const char *text, apr_off_t maximum, apr_off_t *bytes)
{
    char *end;

    if (apr_strtoff(bytes, text, &end, 10) != APR_SUCCESS || *end || *bytes < 1
        || *bytes > maximum) {
        return wrong(
            cmd,
            apr_psprintf(cmd->pool, "takes a number of bytes from 1 to %" APR_OFF_T_FMT, maximum));
    }
    return NULL;
}

static const char *set_form_limit(cmd_parms *cmd, void *dir, const char *bytes)
{
    sf_dir_config *config = dir;

    return read_bytes(cmd, bytes, MEMORY_LIMIT, &config->form_limit);
}

static const char *set_function_limit(cmd_parms *cmd, void *dir, const char *bytes)
{
    const char *misplaced = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    return misplaced ? misplaced : read_bytes(cmd, bytes, MEMORY_LIMIT, &sf_process.function_limit);
}

static const char *set_asset_limit(cmd_parms *cmd, void *dir, const char *bytes)
{
    const char *misplaced = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    return misplaced ? misplaced : read_bytes(cmd, bytes, STORE_LIMIT, &sf_process.asset_limit);
}

/* Labels of letters, digits and hyphens, with a dot between. */
static int is_domain(const char *text)
{
    const char *at = text;

    while (*at) {
        const char *label = at;

        at += strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789-");
        if (at == label || at - label > 63 || *label == '-' || at[-1] == '-'
            || (*at == '.' && !at[1]) || (*at && *at != '.')) {
            return 0;
        }
        at += *at == '.';
    }
    return at > text && at - text <= 190; /* the rest is for what stands before it */
}

static const char *set_domain(cmd_parms *cmd, void *dir, const char *domain)
{
    sf_dir_config *config = dir;

    if (!is_domain(domain)) {
        return wrong(cmd, "takes a domain name in lower case, such as twil.io");
    }
    config->domain = domain;
    return NULL;
}

/* Adds these to the section's list. */
static const char *add_runtimes(cmd_parms *cmd, void *dir, const char *names)
{
    sf_dir_config *config = dir;
    apr_array_header_t *runtimes = (apr_array_header_t *)config->runtimes;

    if (!runtimes) {
        config->runtimes = runtimes = apr_array_make(cmd->pool, 4, sizeof(const char *));
    }
    do {
        const char *name = ap_getword_conf(cmd->pool, &names);
        const apr_size_t length = strlen(name);

        if (length == 0 || length > 64 || strspn(name, RUNTIME_CHARACTERS) != length) {
            return wrong(cmd, "takes names of up to 64 letters, digits, '.', '-' and '_'");
        }
        APR_ARRAY_PUSH(runtimes, const char *) = name;
    } while (*names);
    return NULL;
}

static const char *check_origin(cmd_parms *cmd, const char *origin)
{
    if (strchr(origin, '*')) {
        return wrong(cmd, "does not take *: any page could then act with the credentials that its "
                          "visitor's browser keeps; name each origin");
    }
    if (!sf_cors_is_origin(cmd->temp_pool, origin)) {
        return wrong(cmd, "takes None, or origins such as https://app.example.com, without a path "
                          "and without the scheme's own port");
    }
    return NULL;
}

/* Adds this one to the section's list. None begins an empty list, which is not the same as no list:
 * nothing is inherited. */
static const char *add_origin(cmd_parms *cmd, void *dir, const char *text)
{
    sf_dir_config *config = dir;
    const int none = ap_cstr_casecmp(text, "None") == 0;
    char *origin = apr_pstrdup(cmd->pool, text);

    if (none || !config->origins) {
        config->origins = apr_array_make(cmd->pool, 2, sizeof(const char *));
    }
    if (none) {
        return NULL;
    }
    ap_str_tolower(origin);
    APR_ARRAY_PUSH((apr_array_header_t *)config->origins, const char *) = origin;
    return check_origin(cmd, origin);
}

static const char *set_node(cmd_parms *cmd, void *dir, const char *path)
{
    const char *misplaced = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    apr_finfo_t found;

    (void)dir;
    if (misplaced) {
        return misplaced;
    }
    if (*path != '/' || apr_stat(&found, path, APR_FINFO_TYPE | APR_FINFO_PROT, cmd->temp_pool)
        || found.filetype != APR_REG || !(found.protection & APR_FPROT_WEXECUTE)) {
        return wrong(cmd, "takes the path of an executable file, such as /usr/bin/node");
    }
    sf_process.node = path;
    return NULL;
}

static const char *set_build_timeout(cmd_parms *cmd, void *dir, const char *time)
{
    const char *misplaced = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    return misplaced ? misplaced : read_time(cmd, time, &sf_process.build_timeout);
}

/* A time of days, or with one of httpd's units; 0 as the result where it is neither. A unit is a must:
 * seconds taken for days would remove what cannot be had back. */
static int read_age(const char *text, apr_interval_time_t *age)
{
    const apr_size_t digits = strspn(text, "0123456789");

    if (digits > 0 && digits < 6 && strcmp(text + digits, "d") == 0) {
        *age = atoi(text) * DAY;
        return 1;
    }
    return text[digits] && ap_timeout_parameter_parse(text, age, "s") == APR_SUCCESS;
}

static const char *set_log_retention(cmd_parms *cmd, void *dir, const char *text)
{
    const char *misplaced = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    apr_interval_time_t *age = &sf_process.log_retention;

    (void)dir;
    if (misplaced) {
        return misplaced;
    }
    if (ap_cstr_casecmp(text, "Off") == 0) {
        *age = 0;
        return NULL;
    }
    if (!read_age(text, age) || *age < apr_time_from_sec(60 * 60) || *age > 3650 * DAY) {
        return wrong(cmd, "takes a time from 1h to 3650d, such as 30d, or Off");
    }
    return NULL;
}

/* Read here, by root and before children are made, so that the file can be root's alone. */
static const char *set_variable_keys(cmd_parms *cmd, void *dir, const char *path)
{
    const char *misplaced = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    const char *file = ap_server_root_relative(cmd->pool, path);
    const char *complaint;

    (void)dir;
    if (misplaced) {
        return misplaced;
    }
    if (!*path || !file) {
        return wrong(cmd, "takes the path of a file with keys");
    }
    complaint = sf_secret_keys_read(cmd->pool, file, &sf_process.variable_keys);
    return complaint ? wrong(cmd, apr_psprintf(cmd->pool, "%s: %s", file, complaint)) : NULL;
}

static const char *set_delete_timeout(cmd_parms *cmd, void *dir, const char *time)
{
    sf_dir_config *config = dir;

    return read_time(cmd, time, &config->delete_limit);
}

static const char *set_db_connections(cmd_parms *cmd, void *dir, const char *count)
{
    const char *misplaced = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    char *end;
    const long value = strtol(count, &end, 10);

    (void)dir;
    if (misplaced) {
        return misplaced;
    }
    if (*end || end == count || value < 1 || value > 1000) {
        return wrong(cmd, "takes a number from 1 to 1000");
    }
    sf_process.db_connections = (int)value;
    return NULL;
}

static const char *set_db_timeout(cmd_parms *cmd, void *dir, const char *time)
{
    const char *misplaced = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    return misplaced ? misplaced : read_time(cmd, time, &sf_process.db_timeout);
}

static const char *set_pipelining(cmd_parms *cmd, void *dir, int on)
{
    const char *misplaced = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    sf_process.pipelining = on;
    return misplaced;
}

static const command_rec directives[] = {
    AP_INIT_FLAG("ServerlessFunctions", set_enabled, NULL, ACCESS_CONF,
                 "On to serve the Functions API in this Location"),
    AP_INIT_TAKE1("ServerlessBaseURL", set_base_url, NULL, RSRC_CONF | ACCESS_CONF,
                  "scheme and host of the URLs in answers; by default those of the request"),
    AP_INIT_TAKE1("ServerlessFormLimit", set_form_limit, NULL, RSRC_CONF | ACCESS_CONF,
                  "the most bytes a form may have"),
    AP_INIT_TAKE1("ServerlessDeleteTimeout", set_delete_timeout, NULL, RSRC_CONF | ACCESS_CONF,
                  "how long deleting a Service or an Environment may take"),
    AP_INIT_TAKE1("ServerlessDomain", set_domain, NULL, RSRC_CONF | ACCESS_CONF,
                  "what the domain names of Environments end with"),
    AP_INIT_RAW_ARGS("ServerlessRuntimes", add_runtimes, NULL, RSRC_CONF | ACCESS_CONF,
                     "the Runtimes a Build may have, the default last"),
    AP_INIT_ITERATE("ServerlessCORSOrigins", add_origin, NULL, RSRC_CONF | ACCESS_CONF,
                    "the origins whose pages may use the API in a browser, or None"),
    AP_INIT_TAKE1("ServerlessFunctionLimit", set_function_limit, NULL, RSRC_CONF,
                  "the most bytes a Function may have"),
    AP_INIT_TAKE1("ServerlessAssetLimit", set_asset_limit, NULL, RSRC_CONF,
                  "the most bytes an Asset may have"),
    AP_INIT_TAKE1("ServerlessNode", set_node, NULL, RSRC_CONF,
                  "a node that checks whether Functions compile"),
    AP_INIT_TAKE1("ServerlessBuildTimeout", set_build_timeout, NULL, RSRC_CONF,
                  "how long one attempt to finish a Build may take"),
    AP_INIT_TAKE1("ServerlessLogRetention", set_log_retention, NULL, RSRC_CONF,
                  "how long entries of logs are kept, or Off"),
    AP_INIT_TAKE1("ServerlessVariableKeys", set_variable_keys, NULL, RSRC_CONF,
                  "the file with the keys that Variables are encrypted with"),
    AP_INIT_TAKE1("ServerlessDBConnections", set_db_connections, NULL, RSRC_CONF,
                  "how many of mod_dbd's connections a child uses at once"),
    AP_INIT_TAKE1("ServerlessDBTimeout", set_db_timeout, NULL, RSRC_CONF,
                  "how long a request waits for a connection"),
    AP_INIT_FLAG("ServerlessPipelining", set_pipelining, NULL, RSRC_CONF,
                 "On to send short statements of several requests together"),
    { NULL, { NULL }, NULL, 0, RAW_ARGS, NULL },
};


/* Hooks ------------------------------------------------------------------------------------------ */

static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)pconf;
    (void)plog;
    (void)ptemp;
    sf_process.db_connections = SF_UNSET;
    sf_process.db_timeout = SF_UNSET;
    sf_process.pipelining = SF_UNSET;
    sf_process.function_limit = SF_UNSET;
    sf_process.asset_limit = SF_UNSET;
    sf_process.node = NULL;
    sf_process.build_timeout = SF_UNSET;
    sf_process.log_retention = SF_UNSET;
    sf_process.variable_keys = NULL;
    return OK;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    apr_status_t rv;

    (void)plog;
    (void)ptemp;
    if (!sf_next_database(s) || ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    if (!sf_db_post_config()) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, "ServerlessFunctions needs mod_dbd");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    rv = sf_build_worker_register(pconf, s);
    if (rv == APR_SUCCESS) {
        rv = sf_maintenance_register(pconf, s);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "ServerlessFunctions needs mod_watchdog");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (!sf_variable_keys()) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "SF0017: without ServerlessVariableKeys, what needs the value of a Variable "
                     "is answered with 503");
    }
    return OK;
}

static void child_init(apr_pool_t *pool, server_rec *s)
{
    apr_status_t rv;

    if (!sf_next_database(s)) {
        return;
    }
    rv = sf_request_id_init();
    if (rv == APR_SUCCESS) {
        rv = sf_credential_cache_init(pool);
    }
    if (rv == APR_SUCCESS) {
        rv = sf_standing_init(pool);
    }
    if (rv == APR_SUCCESS) {
        rv = sf_record_init(pool);
    }
    if (rv == APR_SUCCESS) {
        rv = sf_gate_init(pool, sf_process.db_connections - SF_PIPELINES * sf_process.pipelining);
    }
    if (rv == APR_SUCCESS) {
        rv = sf_db_child_init(pool, s);
    }
    if (rv != APR_SUCCESS) { /* every request will be answered with 503 */
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "SF0006: cannot make what a child needs");
        return;
    }
    sf_db_look(pool, s);
}

/* The id that ErrorLogFormat's %L shows is the one the client gets. */
static int generate_log_id(const conn_rec *c, const request_rec *r, const char **id)
{
    (void)c;
    if (!r || sf_server_config_of(r->server)->enabled != 1) {
        return DECLINED;
    }
    *id = sf_request_id((request_rec *)r);
    return OK;
}

static int post_read_request(request_rec *r)
{
    if (sf_server_config_of(r->server)->enabled == 1) {
        apr_table_setn(r->err_headers_out, "Twilio-Request-Id", sf_request_id(r));
    }
    return DECLINED;
}

/* The first hook that knows the Location, before httpd looks into the path's percent-encoding and may
 * refuse it. */
static int pre_translate_name(request_rec *r)
{
    if (sf_dir_config_of(r)->enabled == 1) {
        sf_http_errors_suppress_documents(r);
    }
    sf_cors_add_headers(r);
    return DECLINED;
}

/* Runs after Alias, RewriteRule and ProxyPass have declined. There is no file behind the path, so
 * nobody need look for one; the file name has no suffix that mod_mime could read something into. */
static int translate_name(request_rec *r)
{
    const sf_dir_config *config = sf_dir_config_of(r);
    sf_request *request;

    if (config->enabled != 1 || r->proxyreq) {
        return DECLINED;
    }
    request = sf_request_of(r);
    request->claimed = 1;
    request->prefix = config->prefix;
    r->handler = "serverless-functions";
    r->filename = apr_pstrdup(r->pool, COLLECTION);
    return OK;
}

/* What the Location says is not known here: httpd has put it aside for the walk that we prevent. */
static int map_to_storage(request_rec *r)
{
    return sf_request_of(r)->claimed ? OK : DECLINED;
}

static int handler(request_rec *r)
{
    if (sf_dir_config_of(r)->enabled != 1 || !sf_request_of(r)->claimed) {
        return DECLINED;
    }
    return sf_dispatch(sf_request_of(r), sf_routes);
}

static void register_hooks(apr_pool_t *pool)
{
    static const char *const after_dbd[] = { "mod_dbd.c", NULL };
    static const char *const before_watchdog[] = { "mod_watchdog.c", NULL };
    static const char *const after_authz[] = { "mod_authz_core.c", NULL };

    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(sf_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, after_dbd, before_watchdog, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, after_dbd, before_watchdog, APR_HOOK_MIDDLE);
    ap_hook_child_stopping(sf_watchdog_stop, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_generate_log_id(generate_log_id, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_post_read_request(post_read_request, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_pre_translate_name(pre_translate_name, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_translate_name(translate_name, NULL, NULL, APR_HOOK_LAST);
    ap_hook_map_to_storage(map_to_storage, NULL, NULL, APR_HOOK_FIRST);
    /* after the rules of Require that need no user, such as those for addresses */
    ap_hook_check_access_ex(sf_cors_answer_preflight, after_authz, NULL, APR_HOOK_LAST,
                            AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(sf_openapi_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_insert_error_filter(sf_http_errors_insert, NULL, NULL, APR_HOOK_LAST);
    sf_http_errors_register();
    sf_auth_register(pool);
    sf_db_register_hooks();
}

AP_DECLARE_MODULE(serverless_functions) = {
    STANDARD20_MODULE_STUFF, create_dir_config, merge_dir_config, create_server_config,
    merge_server_config,     directives,        register_hooks,   AP_MODULE_FLAG_NONE,
};
