/* Licensed under the Apache License, Version 2.0; see LICENSE.
 *
 * The module as httpd sees it: its record, its hooks and the order in which its parts start.
 * Nothing below this file calls it. */
#include "core/api/row_json.h"
#include "core/auth/ownership_cache.h"
#include "core/auth/password_cache.h"
#include "core/auth/provider.h"
#include "core/config_fields.h"
#include "core/crypto/keyring.h"
#include "core/db/connection_limit.h"
#include "core/db/db.h"
#include "core/http/cors.h"
#include "core/http/error_filter.h"
#include "core/http/request_limit.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/request_id.h"
#include "directives/check.h"
#include "directives/directives.h"
#include "handlers/openapi.h"
#include "handlers/routes.h"
#include "core/storage/log_spool.h"
#include "runtime/domains/call_log.h"
#include "runtime/domains/hooks.h"
#include "status/health.h"
#include "status/metrics_text.h"
#include "status/node.h"
#include "status/request_log.h"
#include "status/server_status.h"
#include "version.h"
#include "worker/background.h"
#include "worker/build_worker.h"
#include "worker/dependency_worker.h"
#include "worker/log_drain.h"
#include "worker/maintenance.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>
#include <unixd.h>

/* The one symbol that is not hidden. */
module AP_MODULE_DECLARE_DATA serverless_functions_module __attribute__((visibility("default")));

static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    apr_status_t rv;

    (void)plog;
    (void)ptemp;
    sf_config_reset();
    rv = sf_domains_pre_config(pconf);
    if (rv != APR_SUCCESS) {
        ap_log_perror(APLOG_MARK, APLOG_CRIT, rv, pconf,
                      "ServerlessFunctions cannot register its mutex");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

/* Logs why httpd cannot start. Returns the hook's result for that. */
static int refuse_start(const server_rec *s, apr_status_t rv, const char *reason)
{
    ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "%s", reason);
    return HTTP_INTERNAL_SERVER_ERROR;
}

/* Prepares the logs of calls, where a virtual host has any. Returns OK or the hook's result for an error. */
static int prepare_logs(apr_pool_t *pconf, server_rec *s)
{
    const server_rec *each = s;
    apr_status_t rv;

    while (each && !sf_config_executes(each)) {
        each = each->next;
    }
    if (!each) {
        return OK;
    }
    rv = sf_log_spools_make(pconf, s, ap_unixd_config.user_id);
    if (rv != APR_SUCCESS) {
        return refuse_start(s, rv,
                            apr_pstrcat(pconf, "ServerlessLogSpool: cannot make the folder ",
                                        sf_config_log_spool(pconf), NULL));
    }
    sf_log_drain_register(pconf, s);
    return sf_call_log_post_config(pconf, s) == APR_SUCCESS ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

/* Makes the memory that children share. Returns OK or the hook's result for an error. */
static int make_shared_memory(apr_pool_t *pconf, server_rec *s)
{
    apr_status_t rv = sf_request_limit_init(pconf);

    if (rv != APR_SUCCESS) {
        return refuse_start(s, rv,
                            "ServerlessMaxRequests: cannot make the shared memory that it needs");
    }
    rv = sf_metrics_post_config();
    if (rv == APR_SUCCESS) {
        rv = sf_node_post_config(pconf, s);
    }
    return rv == APR_SUCCESS
               ? OK
               : refuse_start(s, rv,
                              "ServerlessFunctions cannot make the shared memory of its metrics");
}

/* Begins the parts that work beside requests. Returns OK or the hook's result for an error. */
static int begin_parts(apr_pool_t *pconf, server_rec *s)
{
    apr_status_t rv = sf_background_init(s, pconf);

    if (rv == APR_ENOTIMPL) {
        return refuse_start(s, rv, "ServerlessFunctions needs mod_watchdog");
    }
    if (rv != APR_SUCCESS) {
        return refuse_start(s, rv,
                            "ServerlessFunctions cannot make the lock of its background work, a "
                            "temporary file");
    }
    sf_build_worker_register(pconf, s);
    sf_dependency_worker_register(pconf, s);
    sf_maintenance_register(pconf, s);
    rv = sf_domains_post_config(pconf, s);
    return rv == APR_SUCCESS
               ? prepare_logs(pconf, s)
               : refuse_start(s, rv,
                              "ServerlessExecution cannot make the memory that children share");
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    int result;

    (void)plog;
    (void)ptemp;
    if (!sf_config_next_database(s)
        || ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    if (!sf_db_post_config()) {
        return refuse_start(s, 0, "ServerlessFunctions needs mod_dbd");
    }
    result = make_shared_memory(pconf, s);
    if (result == OK) {
        result = begin_parts(pconf, s);
    }
    if (result != OK) {
        return result;
    }
    ap_add_version_component(pconf, "mod_serverless_functions/" SF_VERSION);
    if (!sf_config_variable_keys()) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "SF0017: without ServerlessVariableKeys, what needs the value of a Variable "
                     "is answered with 503");
    }
    return OK;
}

static void child_init(apr_pool_t *pool, server_rec *s)
{
    apr_status_t rv;

    if (!sf_config_next_database(s)) {
        return;
    }
    sf_request_limit_child_init();
    sf_metrics_child_init();
    rv = sf_log_init(pool);
    if (rv == APR_SUCCESS) {
        rv = sf_request_id_init();
    }
    if (rv == APR_SUCCESS) {
        rv = sf_password_cache_init(pool);
    }
    if (rv == APR_SUCCESS) {
        rv = sf_ownership_cache_init(pool);
    }
    if (rv == APR_SUCCESS) {
        rv = sf_row_json_init(pool);
    }
    if (rv == APR_SUCCESS) {
        rv = sf_connection_limit_init(pool, sf_config_pooled_connections());
    }
    if (rv == APR_SUCCESS) {
        rv = sf_domains_child_init(pool);
    }
    if (rv == APR_SUCCESS) {
        rv = sf_background_child_init(pool);
    }
    if (rv == APR_SUCCESS) {
        rv = sf_dependency_worker_child_init(pool);
    }
    if (rv == APR_SUCCESS) {
        rv = sf_db_child_init(pool, s);
    }
    if (rv != APR_SUCCESS) { /* every request gets 503 */
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "SF0006: cannot make what a child needs");
        return;
    }
    sf_node_announce(pool, s);
}

/* Makes the request's id httpd's log id, which %L of ErrorLogFormat shows. */
static int generate_log_id(const conn_rec *c, const request_rec *r, const char **id)
{
    (void)c;
    if (!r || !sf_config_has_database(r->server)) {
        return DECLINED;
    }
    *id = sf_request_id((request_rec *)r);
    return OK;
}

static int post_read_request(request_rec *r)
{
    if (sf_config_has_database(r->server)) {
        apr_table_setn(r->err_headers_out, "Twilio-Request-Id", sf_request_id(r));
    }
    return DECLINED;
}

/* Prepares the errors and the CORS headers. This is the first hook that knows the Location,
 * before httpd decodes the path and may refuse it. */
static int pre_translate_name(request_rec *r)
{
    if (sf_config_serves_api(r)) {
        sf_error_filter_suppress_documents(r);
    }
    sf_cors_add_headers(r);
    return DECLINED;
}

/* Claims a request that Alias, RewriteRule and ProxyPass have declined. No file stands behind
 * the path: the file name is a constant without a suffix, so that mod_mime finds no type in it.
 * A Location with the API takes precedence over a domain. */
static int translate_name(request_rec *r)
{
    sf_request *request;

    if (!sf_config_serves_api(r)) {
        return sf_domains_translate_name(r);
    }
    if (r->proxyreq) {
        return DECLINED;
    }
    request = sf_request_of(r);
    request->claimed = 1;
    request->prefix = sf_config_prefix(r);
    apr_table_setn(r->err_headers_out, "X-Content-Type-Options", "nosniff");
    r->handler = "serverless-functions";
    r->filename = apr_pstrdup(r->pool, "/Services");
    return OK;
}

/* Keeps httpd from walking the file system. sf_config_serves_api() is not valid here: the
 * Location's configuration is not merged again until after this hook. */
static int map_to_storage(request_rec *r)
{
    return sf_request_of(r)->claimed ? OK : sf_domains_map_to_storage(r);
}

static int handler(request_rec *r)
{
    if (!sf_config_serves_api(r) || !sf_request_of(r)->claimed) {
        return DECLINED;
    }
    return sf_dispatch(sf_request_of(r), sf_routes);
}

static void insert_error_filter(request_rec *r)
{
    if (sf_domains_own(r)) {
        sf_domains_insert_error_filter(r);
    }
    else {
        sf_error_filter_insert(r);
    }
}

/* Runs after the background tasks have stopped. */
static void log_metrics(apr_pool_t *pool, int graceful)
{
    const sf_caller caller = { pool, ap_server_conf, NULL };

    (void)graceful;
    if (sf_config_next_database(ap_server_conf)) {
        sf_log_flush(&caller, 1);
        sf_metrics_log(&caller);
    }
}

static void register_hooks(apr_pool_t *pool)
{
    static const char *const after_dbd[] = { "mod_dbd.c", NULL };
    static const char *const before_watchdog[] = { "mod_watchdog.c", NULL };
    static const char *const before_log_config[] = { "mod_log_config.c", NULL };
    static const char *const after_authz[] = { "mod_authz_core.c", NULL };

    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    /* after the MPM has settled on MaxRequestWorkers */
    ap_hook_check_config(sf_check_config, NULL, NULL, APR_HOOK_LAST);
    ap_hook_post_config(post_config, after_dbd, before_watchdog, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, after_dbd, before_watchdog, APR_HOOK_MIDDLE);
    ap_hook_child_status(sf_request_limit_child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_status(sf_metrics_child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_stopping(sf_background_stop, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_stopping(log_metrics, NULL, NULL, APR_HOOK_LAST);
    ap_hook_generate_log_id(generate_log_id, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_post_read_request(post_read_request, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_pre_translate_name(pre_translate_name, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_translate_name(translate_name, NULL, NULL, APR_HOOK_LAST);
    ap_hook_map_to_storage(map_to_storage, NULL, NULL, APR_HOOK_FIRST);
    /* after the rules of Require that need no user, such as "Require ip" */
    ap_hook_check_access_ex(sf_cors_answer_preflight, after_authz, NULL, APR_HOOK_LAST,
                            AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(sf_domains_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(sf_openapi_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(sf_health_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(sf_metrics_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_log_transaction(sf_request_log, NULL, before_log_config, APR_HOOK_MIDDLE);
    ap_hook_log_transaction(sf_auth_log_refusal, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_insert_error_filter(insert_error_filter, NULL, NULL, APR_HOOK_LAST);
    sf_error_filter_register();
    sf_domains_register();
    sf_server_status_register();
    sf_auth_register(pool);
    sf_db_register_hooks();
}

AP_DECLARE_MODULE(serverless_functions) = {
    STANDARD20_MODULE_STUFF, sf_config_create_dir, sf_config_merge_dir, sf_config_create_server,
    sf_config_merge_server,  sf_directives,        register_hooks,      AP_MODULE_FLAG_NONE,
};
