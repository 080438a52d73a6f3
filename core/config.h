/* The module's configuration, for every file that reads it. A directive that the administrator
 * left out has its default here, so that no reader knows of unset values. directives/ writes the
 * configuration (core/config_fields.h). */
#ifndef SF_CONFIG_H
#define SF_CONFIG_H

#include "core/sid.h"

#include <httpd.h>

struct sf_file_cache;
struct sf_keyring;

/* An Environment with its Service, by the digits of their SIDs. */
typedef struct {
    char service[SF_SID_DIGITS + 1];
    char environment[SF_SID_DIGITS + 1];
} sf_environment_ids;

/* Of a request's <Location> or virtual host --------------------------------------------------- */

/* Whether the API is served there (ServerlessFunctions). */
int sf_config_serves_api(const request_rec *r);

/* The part of the Location's path before /Services, as "/v1"; NULL where the API is not served. */
const char *sf_config_prefix(const request_rec *r);

/* ServerlessBaseURL, or NULL: the request's own scheme and host. */
const char *sf_config_base_url(const request_rec *r);

/* ServerlessFormLimit: the most bytes of a form. */
apr_off_t sf_config_form_limit(const request_rec *r);

/* ServerlessDeleteTimeout: the time limit of a statement that deletes a whole Service or
 * Environment. */
apr_interval_time_t sf_config_delete_timeout(const request_rec *r);

/* ServerlessDomain: the end of all domain names, as "twil.io". */
const char *sf_config_domain(const request_rec *r);

/* ServerlessRuntimes: the Runtimes a Build may have, the default last. Their number goes to
 * `count`. */
const char *const *sf_config_runtimes(const request_rec *r, int *count);

/* ServerlessAssetMaxAge: how long a cache may use a public Asset without asking. */
apr_interval_time_t sf_config_asset_max_age(const request_rec *r);

/* ServerlessCORSOrigins: an array of const char *, or NULL where there is none. */
const apr_array_header_t *sf_config_cors_origins(const request_rec *r);

/* ServerlessSignatureScheme: the scheme of the URLs that clients sign, "https" or "http". */
const char *sf_config_signature_scheme(const request_rec *r);

/* ServerlessExecutionTimeout: how long a call of a Function may take. */
apr_interval_time_t sf_config_execution_timeout(const request_rec *r);

/* ServerlessQueueTimeout: how long a call waits for an isolate. */
apr_interval_time_t sf_config_queue_timeout(const request_rec *r);

/* ServerlessConcurrency: the most calls of an Environment at a time, on this machine. */
int sf_config_concurrency(const request_rec *r);

/* ServerlessMemory: the most bytes of memory of an isolate. */
apr_off_t sf_config_memory(const request_rec *r);

/* ServerlessRequestLimit and ServerlessResponseLimit: the most bytes of the body of a request to a Function,
 * and of its answer. */
apr_off_t sf_config_body_limit(const request_rec *r);
apr_off_t sf_config_answer_limit(const request_rec *r);

/* ServerlessErrorStack: whether the answer of a Function that has failed has its stack. */
int sf_config_error_stack(const request_rec *r);


/* Of a virtual host --------------------------------------------------------------------------- */

/* Whether the API is served in one of its Locations. */
int sf_config_has_api(const server_rec *s);

/* Whether requests to domains of Environments are answered there (ServerlessExecution). */
int sf_config_executes(const server_rec *s);

/* The Environment whose domain the whole host is (ServerlessEnvironment), or NULL. */
const sf_environment_ids *sf_config_environment(const server_rec *s);

/* ServerlessDomain of the virtual host itself, outside of its <Location>s. */
const char *sf_config_server_domain(const server_rec *s);

/* The same, or NULL where the administrator has set none. */
const char *sf_config_own_domain(const server_rec *s);

/* Whether it needs a database: it has the API, or answers requests to domains. */
int sf_config_has_database(const server_rec *s);

/* The number of its database, from 1; 0 where it needs none. Virtual hosts that reach the same
 * database have the same number. */
int sf_config_database(const server_rec *s);

/* Returns `s` or the first server after it that is the first of its database, or NULL. Start and
 * step of a loop over all databases. */
server_rec *sf_config_next_database(server_rec *s);

/* Returns the number of databases of the server and those after it. */
int sf_config_databases(server_rec *s);

/* Whether the error log has the request's id in each line of httpd (%L in ErrorLogFormat). */
int sf_config_logs_request_id(const server_rec *s);

/* The DBDParams of its database, or NULL where httpd's directives do not tell them. */
const char *sf_config_db_params(const server_rec *s);

/* DBDExptime of its database: after so long without a statement, a connection is closed. 0: never. */
apr_interval_time_t sf_config_db_idle_time(const server_rec *s);


/* Of the whole process ------------------------------------------------------------------------ */

/* Whether the configuration names a note of requests, such as serverless-operation. */
int sf_config_has_notes(void);

/* A child's pipelined connections: one for reads, one for writes. */
#define SF_PIPELINES 2

/* Pipelining needs at least the pipelined connections, one for a long statement and one for all
 * other statements. */
#define SF_PIPELINING_MIN_CONNECTIONS (SF_PIPELINES + 2)

/* How many database connections a child uses at once, its pipelined ones included
 * (ServerlessDBConnections). Known after sf_config_resolve(). */
int sf_config_db_connections(void);

/* Whether two of these connections are pipelined (ServerlessPipelining). Known after
 * sf_config_resolve(). */
int sf_config_pipelining(void);

/* How many of these connections are not pipelined. Known after sf_config_resolve(). */
int sf_config_pooled_connections(void);

/* ServerlessDBTimeout: how long a request waits for a connection. */
apr_interval_time_t sf_config_db_timeout(void);

/* ServerlessFunctionLimit and ServerlessAssetLimit: the most bytes of an upload. */
apr_off_t sf_config_function_limit(void);
apr_off_t sf_config_asset_limit(void);

/* ServerlessMaxPublicAssets and so on: the most Assets of a visibility in a Build, 0 for any number. */
int sf_config_max_public_assets(void);
int sf_config_max_protected_assets(void);
int sf_config_max_private_assets(void);

/* ServerlessAssetCache: the folder of Assets on disk and its limit, or NULL. */
const struct sf_file_cache *sf_config_asset_cache(void);

/* How many requests httpd's children serve at once: MaxRequestWorkers. Known after
 * sf_config_resolve(). */
int sf_config_workers(void);

/* ServerlessMaxRequests and ServerlessMaxRequestsPerAccount: the most requests of all accounts, and
 * of one account, at a time; 0 for any number. Known after sf_config_resolve(). */
int sf_config_request_limit(void);
int sf_config_account_request_limit(void);

/* ServerlessNode: the path of a node that checks Functions, or NULL. */
const char *sf_config_node(void);

/* ServerlessBuildTimeout: how long one attempt to finish a Build may take. */
apr_interval_time_t sf_config_build_timeout(void);

/* ServerlessInstallTimeout: how long the runner may take to resolve the Dependencies of a Build. */
apr_interval_time_t sf_config_install_timeout(void);

/* ServerlessDependencyCheck: how long creating a Build waits for the registry's word about its Dependencies; 0 where the registry
 * is not asked. */
apr_interval_time_t sf_config_dependency_check(void);

/* ServerlessBundleLimit: the most bytes that the packages of a Build may have. */
apr_off_t sf_config_bundle_limit(void);

/* ServerlessLogRetention: the age at which entries of logs are removed; 0 where they are kept. */
apr_interval_time_t sf_config_log_retention(void);

/* ServerlessStaleRoutes: for how long after its last read a route is used while the database is
 * away. */
apr_interval_time_t sf_config_stale_routes(void);

/* ServerlessRunner: the path of the runner's control socket, or NULL. */
const char *sf_config_runner(void);

/* ServerlessIsolates: the most isolates of this machine. */
int sf_config_isolates(void);

/* ServerlessIdleTimeout: how long an isolate without calls is kept. */
apr_interval_time_t sf_config_idle_timeout(void);

/* ServerlessIsolateCalls: the most calls of an isolate. */
int sf_config_isolate_calls(void);

/* ServerlessCallLog: the most bytes of a call's log entries. */
apr_off_t sf_config_call_log(void);

/* ServerlessLogTo: a file, or "|" and a command, that gets each log entry of a call; or NULL. */
const char *sf_config_log_target(void);

/* ServerlessLogSpool: the folder of log entries that are not in the database yet. The default stands beside httpd's
 * PidFile, which no two httpds share. */
const char *sf_config_log_spool(apr_pool_t *pool);

/* ServerlessVariableKeys: the keys that encrypt Variables, or NULL. */
const struct sf_keyring *sf_config_variable_keys(void);

#endif
