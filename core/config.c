#include "core/config_fields.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_config.h>
#include <mpm_common.h>

/* Names the module's slot in httpd's configuration vectors. */
extern module AP_MODULE_DECLARE_DATA serverless_functions_module;

#define DAY apr_time_from_sec(24 * 60 * 60)

#define DEFAULT_FORM_LIMIT (256 * 1024)
#define DEFAULT_DELETE_TIMEOUT apr_time_from_sec(60)
#define DEFAULT_DB_CONNECTIONS 4
#define DEFAULT_DB_TIMEOUT apr_time_from_sec(2)
#define DEFAULT_FUNCTION_LIMIT (1024 * 1024)
#define DEFAULT_ASSET_LIMIT (25 * 1024 * 1024)
#define DEFAULT_REQUEST_LIMIT_MIN 4
#define DEFAULT_BUILD_TIMEOUT apr_time_from_sec(30)
#define DEFAULT_INSTALL_TIMEOUT apr_time_from_sec(120)
#define DEFAULT_DEPENDENCY_CHECK apr_time_from_sec(3)
#define DEFAULT_BUNDLE_LIMIT (250 * 1024 * 1024)
#define DEFAULT_LOG_RETENTION (30 * DAY)
#define DEFAULT_DOMAIN "twil.io"
#define DEFAULT_STALE_ROUTES apr_time_from_sec(5 * 60)
#define DEFAULT_SIGNATURE_SCHEME "https"
#define DEFAULT_CALL_LOG 16384
#define DEFAULT_EXECUTION_TIMEOUT apr_time_from_sec(10)
#define DEFAULT_QUEUE_TIMEOUT apr_time_from_sec(2)
#define DEFAULT_CONCURRENCY 30
#define DEFAULT_MEMORY (256 * 1024 * 1024)
#define DEFAULT_BODY_LIMIT (1024 * 1024)
#define DEFAULT_ANSWER_LIMIT (4 * 1024 * 1024)
#define DEFAULT_ISOLATES 64
#define DEFAULT_IDLE_TIMEOUT apr_time_from_sec(60)
#define DEFAULT_ISOLATE_CALLS 100000

/* The Runtimes that are published; the last is the default, which is not the newest. */
static const char *const default_runtimes[]
    = { "node8", "node10", "node12", "node14", "node16", "node18", "node20", "node24", "node22" };

static sf_process_config process;

/* The process's values that are not only configured but resolved (sf_config_resolve). */
static struct {
    int db_connections;
    int pipelining;
    int workers;
    int request_limit;
    int account_request_limit;
    int has_notes;
} resolved;


/* Creating and merging ------------------------------------------------------------------------ */

#define MERGE_VALUE(member) merged->member = own->member != SF_UNSET ? own->member : base->member
#define MERGE_POINTER(member) merged->member = own->member ? own->member : base->member

void *sf_config_create_dir(apr_pool_t *pool, char *path)
{
    sf_dir_config *config = apr_pcalloc(pool, sizeof(*config));

    (void)path;
    config->enabled = SF_UNSET;
    config->form_limit = SF_UNSET;
    config->delete_timeout = SF_UNSET;
    config->asset_max_age = SF_UNSET;
    config->execution_timeout = SF_UNSET;
    config->queue_timeout = SF_UNSET;
    config->concurrency = SF_UNSET;
    config->memory = SF_UNSET;
    config->body_limit = SF_UNSET;
    config->answer_limit = SF_UNSET;
    config->error_stack = SF_UNSET;
    return config;
}

void *sf_config_merge_dir(apr_pool_t *pool, void *parent, void *child)
{
    sf_dir_config *merged = apr_pcalloc(pool, sizeof(*merged));
    const sf_dir_config *base = parent;
    const sf_dir_config *own = child;

    MERGE_VALUE(enabled);
    MERGE_POINTER(prefix);
    MERGE_POINTER(base_url);
    MERGE_VALUE(form_limit);
    MERGE_VALUE(delete_timeout);
    MERGE_POINTER(domain);
    MERGE_POINTER(runtimes);
    MERGE_VALUE(asset_max_age);
    MERGE_POINTER(cors_origins);
    MERGE_POINTER(signature_scheme);
    MERGE_VALUE(execution_timeout);
    MERGE_VALUE(queue_timeout);
    MERGE_VALUE(concurrency);
    MERGE_VALUE(memory);
    MERGE_VALUE(body_limit);
    MERGE_VALUE(answer_limit);
    MERGE_VALUE(error_stack);
    return merged;
}

void *sf_config_create_server(apr_pool_t *pool, server_rec *s)
{
    sf_server_config *config = apr_pcalloc(pool, sizeof(*config));

    (void)s;
    config->enabled = SF_UNSET;
    config->executes = SF_UNSET;
    return config;
}

/* A <Location> of the main server is every virtual host's, too. */
void *sf_config_merge_server(apr_pool_t *pool, void *parent, void *child)
{
    sf_server_config *merged = apr_pcalloc(pool, sizeof(*merged));
    const sf_server_config *base = parent;
    const sf_server_config *own = child;

    MERGE_VALUE(enabled);
    MERGE_VALUE(executes);
    MERGE_POINTER(environment);
    return merged;
}

sf_server_config *sf_config_server(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &serverless_functions_module);
}

sf_server_config *sf_config_own_server(apr_pool_t *pool, server_rec *s)
{
    sf_server_config *config = apr_pmemdup(pool, sf_config_server(s), sizeof(*config));

    ap_set_module_config(s->module_config, &serverless_functions_module, config);
    return config;
}

sf_process_config *sf_config_process(void)
{
    return &process;
}

void sf_config_reset(void)
{
    process.db_connections = SF_UNSET;
    process.db_timeout = SF_UNSET;
    process.pipelining = SF_UNSET;
    process.function_limit = SF_UNSET;
    process.asset_limit = SF_UNSET;
    process.public_assets = SF_UNSET;
    process.protected_assets = SF_UNSET;
    process.private_assets = SF_UNSET;
    process.request_limit = SF_UNSET;
    process.account_request_limit = SF_UNSET;
    process.asset_cache = NULL;
    process.node = NULL;
    process.build_timeout = SF_UNSET;
    process.install_timeout = SF_UNSET;
    process.dependency_check = SF_UNSET;
    process.bundle_limit = SF_UNSET;
    process.log_retention = SF_UNSET;
    process.variable_keys = NULL;
    process.stale_routes = SF_UNSET;
    process.call_log = SF_UNSET;
    process.log_target = NULL;
    process.log_spool = NULL;
    process.runner = NULL;
    process.isolates = SF_UNSET;
    process.idle_timeout = SF_UNSET;
    process.isolate_calls = SF_UNSET;
    resolved.db_connections = 0;
    resolved.pipelining = 0;
    resolved.workers = 0;
    resolved.request_limit = 0;
    resolved.account_request_limit = 0;
    resolved.has_notes = 0;
}

void sf_config_want_notes(void)
{
    resolved.has_notes = 1;
}

/* Whether this MPM's children serve several requests at once. */
static int is_threaded(void)
{
    int threaded = 0;

    return ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded) == APR_SUCCESS && threaded;
}

/* Returns a number of the MPM, which is 0 where it has no threads, or 1. */
static int query_mpm(int code)
{
    int value = 0;

    return ap_mpm_query(code, &value) == APR_SUCCESS && value > 1 ? value : 1;
}

/* The defaults leave some workers for requests of accounts that have none under way. A server with
 * few workers has none to spare. */
static void resolve_request_limits(void)
{
    const int all = resolved.workers - resolved.workers / 5;

    resolved.request_limit = process.request_limit;
    if (resolved.request_limit == SF_UNSET) {
        resolved.request_limit = all > DEFAULT_REQUEST_LIMIT_MIN ? all : DEFAULT_REQUEST_LIMIT_MIN;
    }
    resolved.account_request_limit = process.account_request_limit;
    if (resolved.account_request_limit == SF_UNSET) {
        resolved.account_request_limit
            = all / 2 > DEFAULT_REQUEST_LIMIT_MIN ? all / 2 : DEFAULT_REQUEST_LIMIT_MIN;
    }
}

void sf_config_resolve(int smallest_pool)
{
    resolved.db_connections = process.db_connections;
    if (resolved.db_connections == SF_UNSET) {
        resolved.db_connections
            = smallest_pool < DEFAULT_DB_CONNECTIONS ? smallest_pool : DEFAULT_DB_CONNECTIONS;
    }
    resolved.pipelining = process.pipelining;
    if (resolved.pipelining == SF_UNSET) {
        resolved.pipelining = resolved.db_connections >= SF_PIPELINING_MIN_CONNECTIONS;
    }
    if (!is_threaded()) {
        resolved.pipelining = 0;
    }
    resolved.workers = query_mpm(AP_MPMQ_MAX_DAEMONS) * query_mpm(AP_MPMQ_MAX_THREADS);
    resolve_request_limits();
}


/* Reading ------------------------------------------------------------------------------------- */

static const sf_dir_config *dir_config(const request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &serverless_functions_module);
}

static apr_int64_t value_or(apr_int64_t value, apr_int64_t default_value)
{
    return value != SF_UNSET ? value : default_value;
}

int sf_config_serves_api(const request_rec *r)
{
    return dir_config(r)->enabled == 1;
}

const char *sf_config_prefix(const request_rec *r)
{
    return dir_config(r)->prefix;
}

const char *sf_config_base_url(const request_rec *r)
{
    return dir_config(r)->base_url;
}

apr_off_t sf_config_form_limit(const request_rec *r)
{
    return value_or(dir_config(r)->form_limit, DEFAULT_FORM_LIMIT);
}

apr_interval_time_t sf_config_delete_timeout(const request_rec *r)
{
    return value_or(dir_config(r)->delete_timeout, DEFAULT_DELETE_TIMEOUT);
}

const char *sf_config_domain(const request_rec *r)
{
    const char *domain = dir_config(r)->domain;

    return domain ? domain : DEFAULT_DOMAIN;
}

const char *const *sf_config_runtimes(const request_rec *r, int *count)
{
    const apr_array_header_t *runtimes = dir_config(r)->runtimes;

    if (!runtimes) {
        *count = sizeof(default_runtimes) / sizeof(*default_runtimes);
        return default_runtimes;
    }
    *count = runtimes->nelts;
    return (const char *const *)runtimes->elts;
}

apr_interval_time_t sf_config_asset_max_age(const request_rec *r)
{
    return value_or(dir_config(r)->asset_max_age, 0);
}

const apr_array_header_t *sf_config_cors_origins(const request_rec *r)
{
    const apr_array_header_t *origins = dir_config(r)->cors_origins;

    return origins && origins->nelts > 0 ? origins : NULL;
}

const char *sf_config_signature_scheme(const request_rec *r)
{
    const char *scheme = dir_config(r)->signature_scheme;

    return scheme ? scheme : DEFAULT_SIGNATURE_SCHEME;
}

apr_interval_time_t sf_config_execution_timeout(const request_rec *r)
{
    return value_or(dir_config(r)->execution_timeout, DEFAULT_EXECUTION_TIMEOUT);
}

apr_interval_time_t sf_config_queue_timeout(const request_rec *r)
{
    return value_or(dir_config(r)->queue_timeout, DEFAULT_QUEUE_TIMEOUT);
}

int sf_config_concurrency(const request_rec *r)
{
    return (int)value_or(dir_config(r)->concurrency, DEFAULT_CONCURRENCY);
}

apr_off_t sf_config_memory(const request_rec *r)
{
    return value_or(dir_config(r)->memory, DEFAULT_MEMORY);
}

apr_off_t sf_config_body_limit(const request_rec *r)
{
    return value_or(dir_config(r)->body_limit, DEFAULT_BODY_LIMIT);
}

apr_off_t sf_config_answer_limit(const request_rec *r)
{
    return value_or(dir_config(r)->answer_limit, DEFAULT_ANSWER_LIMIT);
}

int sf_config_error_stack(const request_rec *r)
{
    return dir_config(r)->error_stack == 1;
}

int sf_config_has_api(const server_rec *s)
{
    return sf_config_server(s)->enabled == 1;
}

int sf_config_executes(const server_rec *s)
{
    return sf_config_server(s)->executes == 1;
}

const sf_environment_ids *sf_config_environment(const server_rec *s)
{
    return sf_config_server(s)->environment;
}

const char *sf_config_own_domain(const server_rec *s)
{
    const sf_dir_config *config
        = ap_get_module_config(s->lookup_defaults, &serverless_functions_module);

    return config->domain;
}

const char *sf_config_server_domain(const server_rec *s)
{
    const char *domain = sf_config_own_domain(s);

    return domain ? domain : DEFAULT_DOMAIN;
}

int sf_config_has_database(const server_rec *s)
{
    return sf_config_has_api(s) || sf_config_executes(s);
}

int sf_config_database(const server_rec *s)
{
    return sf_config_server(s)->database;
}

server_rec *sf_config_next_database(server_rec *s)
{
    while (s && !sf_config_server(s)->owns_database) {
        s = s->next;
    }
    return s;
}

int sf_config_databases(server_rec *s)
{
    int last = 0;

    for (s = sf_config_next_database(s); s; s = sf_config_next_database(s->next)) {
        last = sf_config_database(s);
    }
    return last;
}

int sf_config_logs_request_id(const server_rec *s)
{
    return sf_config_server(s)->logs_request_id;
}

const char *sf_config_db_params(const server_rec *s)
{
    return sf_config_server(s)->db_params;
}

apr_interval_time_t sf_config_db_idle_time(const server_rec *s)
{
    return sf_config_server(s)->db_idle_time;
}

int sf_config_db_connections(void)
{
    return resolved.db_connections;
}

int sf_config_pipelining(void)
{
    return resolved.pipelining;
}

int sf_config_pooled_connections(void)
{
    return resolved.pipelining ? resolved.db_connections - SF_PIPELINES : resolved.db_connections;
}

apr_interval_time_t sf_config_db_timeout(void)
{
    return value_or(process.db_timeout, DEFAULT_DB_TIMEOUT);
}

apr_off_t sf_config_function_limit(void)
{
    return value_or(process.function_limit, DEFAULT_FUNCTION_LIMIT);
}

apr_off_t sf_config_asset_limit(void)
{
    return value_or(process.asset_limit, DEFAULT_ASSET_LIMIT);
}

int sf_config_max_public_assets(void)
{
    return (int)value_or(process.public_assets, 0);
}

int sf_config_max_protected_assets(void)
{
    return (int)value_or(process.protected_assets, 0);
}

int sf_config_max_private_assets(void)
{
    return (int)value_or(process.private_assets, 0);
}

int sf_config_workers(void)
{
    return resolved.workers;
}

int sf_config_request_limit(void)
{
    return resolved.request_limit;
}

int sf_config_account_request_limit(void)
{
    return resolved.account_request_limit;
}

int sf_config_has_notes(void)
{
    return resolved.has_notes;
}

const struct sf_file_cache *sf_config_asset_cache(void)
{
    return process.asset_cache;
}

const char *sf_config_node(void)
{
    return process.node;
}

apr_interval_time_t sf_config_build_timeout(void)
{
    return value_or(process.build_timeout, DEFAULT_BUILD_TIMEOUT);
}

apr_interval_time_t sf_config_install_timeout(void)
{
    return value_or(process.install_timeout, DEFAULT_INSTALL_TIMEOUT);
}

apr_interval_time_t sf_config_dependency_check(void)
{
    return value_or(process.dependency_check, DEFAULT_DEPENDENCY_CHECK);
}

apr_off_t sf_config_bundle_limit(void)
{
    return value_or(process.bundle_limit, DEFAULT_BUNDLE_LIMIT);
}

apr_interval_time_t sf_config_log_retention(void)
{
    return value_or(process.log_retention, DEFAULT_LOG_RETENTION);
}

apr_interval_time_t sf_config_stale_routes(void)
{
    return value_or(process.stale_routes, DEFAULT_STALE_ROUTES);
}

const char *sf_config_runner(void)
{
    return process.runner;
}

int sf_config_isolates(void)
{
    return (int)value_or(process.isolates, DEFAULT_ISOLATES);
}

apr_interval_time_t sf_config_idle_timeout(void)
{
    return value_or(process.idle_timeout, DEFAULT_IDLE_TIMEOUT);
}

int sf_config_isolate_calls(void)
{
    return (int)value_or(process.isolate_calls, DEFAULT_ISOLATE_CALLS);
}

apr_off_t sf_config_call_log(void)
{
    return value_or(process.call_log, DEFAULT_CALL_LOG);
}

const char *sf_config_log_target(void)
{
    return process.log_target;
}

const char *sf_config_log_spool(apr_pool_t *pool)
{
    const char *pid_file = ap_runtime_dir_relative(pool, ap_pid_fname);

    return process.log_spool ? ap_server_root_relative(pool, process.log_spool)
                             : apr_pstrcat(pool, pid_file, ".serverless-logs", NULL);
}

const struct sf_keyring *sf_config_variable_keys(void)
{
    return process.variable_keys;
}
