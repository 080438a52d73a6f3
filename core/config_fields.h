/* The configuration as directives/ and the module record write it: httpd's functions that create
 * and merge it, and its members. An unset member holds SF_UNSET or NULL; core/config.h resolves
 * defaults. */
#ifndef SF_CONFIG_FIELDS_H
#define SF_CONFIG_FIELDS_H

#include "core/config.h"

#define SF_UNSET (-1)

/* Of a <Location> or virtual host. */
typedef struct {
    int enabled;                           /* ServerlessFunctions */
    const char *prefix;                    /* of ServerlessFunctions: see sf_config_prefix() */
    const char *base_url;                  /* ServerlessBaseURL */
    apr_off_t form_limit;                  /* ServerlessFormLimit */
    apr_interval_time_t delete_timeout;    /* ServerlessDeleteTimeout */
    const char *domain;                    /* ServerlessDomain */
    apr_array_header_t *runtimes;          /* ServerlessRuntimes, const char * each */
    apr_interval_time_t asset_max_age;     /* ServerlessAssetMaxAge */
    apr_array_header_t *cors_origins;      /* ServerlessCORSOrigins, const char * each */
    const char *signature_scheme;          /* ServerlessSignatureScheme */
    apr_interval_time_t execution_timeout; /* ServerlessExecutionTimeout */
    apr_interval_time_t queue_timeout;     /* ServerlessQueueTimeout */
    int concurrency;                       /* ServerlessConcurrency */
    apr_off_t memory;                      /* ServerlessMemory */
    apr_off_t body_limit;                  /* ServerlessRequestLimit */
    apr_off_t answer_limit;                /* ServerlessResponseLimit */
    int error_stack;                       /* ServerlessErrorStack */
} sf_dir_config;

/* Of a virtual host. Those without a directive are made by the check of the configuration. */
typedef struct {
    int enabled;                           /* ServerlessFunctions is On in one of its Locations */
    int executes;                          /* ServerlessExecution */
    const sf_environment_ids *environment; /* ServerlessEnvironment */
    int database;                          /* see sf_config_database() */
    int logs_request_id;                   /* see sf_config_logs_request_id() */
    int owns_database;                     /* the first server with this database */
    const char *db_params;                 /* see sf_config_db_params() */
    apr_interval_time_t db_idle_time;      /* see sf_config_db_idle_time() */
} sf_server_config;

/* Of the whole process, as the administrator wrote it. */
typedef struct {
    int db_connections;                      /* ServerlessDBConnections */
    apr_interval_time_t db_timeout;          /* ServerlessDBTimeout */
    int pipelining;                          /* ServerlessPipelining */
    apr_off_t function_limit;                /* ServerlessFunctionLimit */
    apr_off_t asset_limit;                   /* ServerlessAssetLimit */
    int public_assets;                       /* ServerlessMaxPublicAssets, 0 for Off */
    int protected_assets;                    /* ServerlessMaxProtectedAssets, 0 for Off */
    int private_assets;                      /* ServerlessMaxPrivateAssets, 0 for Off */
    const struct sf_file_cache *asset_cache; /* ServerlessAssetCache */
    int request_limit;                       /* ServerlessMaxRequests, 0 for Off */
    int account_request_limit;               /* ServerlessMaxRequestsPerAccount, 0 for Off */
    const char *node;                        /* ServerlessNode */
    apr_interval_time_t build_timeout;       /* ServerlessBuildTimeout */
    apr_interval_time_t install_timeout;     /* ServerlessInstallTimeout */
    apr_interval_time_t dependency_check;    /* ServerlessDependencyCheck, 0 for Off */
    apr_off_t bundle_limit;                  /* ServerlessBundleLimit */
    apr_interval_time_t log_retention;       /* ServerlessLogRetention, 0 for Off */
    const struct sf_keyring *variable_keys;  /* ServerlessVariableKeys */
    apr_interval_time_t stale_routes;        /* ServerlessStaleRoutes, 0 for Off */
    apr_off_t call_log;                      /* ServerlessCallLog */
    const char *log_target;                  /* ServerlessLogTo */
    const char *log_spool;                   /* ServerlessLogSpool */
    const char *runner;                      /* ServerlessRunner */
    int isolates;                            /* ServerlessIsolates */
    apr_interval_time_t idle_timeout;        /* ServerlessIdleTimeout */
    int isolate_calls;                       /* ServerlessIsolateCalls */
} sf_process_config;

/* For the module record. */
void *sf_config_create_dir(apr_pool_t *pool, char *path);
void *sf_config_merge_dir(apr_pool_t *pool, void *parent, void *child);
void *sf_config_create_server(apr_pool_t *pool, server_rec *s);
void *sf_config_merge_server(apr_pool_t *pool, void *parent, void *child);

/* The virtual host's configuration, to be written. */
sf_server_config *sf_config_server(const server_rec *s);

/* Gives the server a configuration of its own: httpd lets a virtual host without directives of this
 * module share the main server's. */
sf_server_config *sf_config_own_server(apr_pool_t *pool, server_rec *s);

/* The process's configuration, to be written. */
sf_process_config *sf_config_process(void);

/* Has requests get their notes: the configuration names one. Called by the check of the configuration. */
void sf_config_want_notes(void);

/* Unsets the process's configuration. Called in pre_config, before each reading of the files. */
void sf_config_reset(void);

/* Resolves the values that depend on the smallest of mod_dbd's pools (DBDMax) with the API.
 * Called in check_config, after all directives have been read. */
void sf_config_resolve(int smallest_pool);

#endif
