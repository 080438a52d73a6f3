#include "directives/directives.h"

#include "core/config_fields.h"
#include "core/crypto/keyring.h"
#include "core/sid.h"
#include "core/storage/file_cache.h"
#include "directives/parse.h"

#include <apr_strings.h>
#include <stddef.h>
#include <string.h>

#define DEFAULT_ASSET_CACHE_BYTES ((apr_off_t)1024 * 1024 * 1024)
#define ASSET_CACHE_PATH_MAX 1024

/* Where a directive's value goes, and how its text is read. */
typedef struct {
    sf_parser *parse;
    apr_size_t offset; /* of the member, in sf_dir_config or sf_process_config */
} setting;

/* The message with the directive's name before it, or NULL where there is none. */
static const char *named(const cmd_parms *cmd, const char *message)
{
    return message ? apr_psprintf(cmd->pool, "%s %s", cmd->cmd->name, message) : NULL;
}

/* Sets the member of the <Location>'s configuration that the directive's row names. */
static const char *set_in_location(cmd_parms *cmd, void *dir, const char *text)
{
    const setting *row = cmd->info;

    return named(cmd, row->parse(cmd->pool, text, (char *)dir + row->offset));
}

/* Sets the member of the process's configuration that the directive's row names. */
static const char *set_in_process(cmd_parms *cmd, void *dir, const char *text)
{
    const setting *row = cmd->info;
    const char *misplaced = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    return misplaced
               ? misplaced
               : named(cmd, row->parse(cmd->pool, text, (char *)sf_config_process() + row->offset));
}

static const char *set_enabled(cmd_parms *cmd, void *dir, int on)
{
    const ap_directive_t *section = cmd->directive->parent;
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
    if (section && ap_cstr_casecmp(section->directive, "<Location") == 0 && *section->args != '~'
        && cmd->path) {
        config->prefix = sf_parse_prefix(cmd->pool, cmd->path);
    }
    if (!config->prefix) {
        return named(cmd,
                     "belongs into <Location \"/v1/Services\">, a path without a slash at its end");
    }
    sf_config_server(cmd->server)->enabled = 1;
    return NULL;
}

static const char *set_execution(cmd_parms *cmd, void *dir, int on)
{
    const char *misplaced = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);

    (void)dir;
    sf_config_server(cmd->server)->executes = on;
    return misplaced;
}

static const char *set_environment(cmd_parms *cmd, void *dir, const char *service,
                                   const char *environment)
{
    const char *misplaced = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);
    sf_environment_ids *ids = apr_pcalloc(cmd->pool, sizeof(*ids));

    (void)dir;
    if (misplaced) {
        return misplaced;
    }
    if (!cmd->server->is_virtual) {
        return named(cmd, "belongs into a <VirtualHost>");
    }
    if (!sf_sid_parse(service, "ZS", ids->service)
        || !sf_sid_parse(environment, "ZE", ids->environment)) {
        return named(cmd, "takes the SIDs of a Service (ZS...) and of its Environment (ZE...)");
    }
    sf_config_server(cmd->server)->environment = ids;
    return NULL;
}

/* Adds the names to the section's list. */
static const char *add_runtimes(cmd_parms *cmd, void *dir, const char *names)
{
    sf_dir_config *config = dir;

    if (!config->runtimes) {
        config->runtimes = apr_array_make(cmd->pool, 4, sizeof(const char *));
    }
    return named(cmd, sf_parse_runtimes(cmd->pool, names, config->runtimes));
}

/* Adds the origin to the section's list. None begins an empty list. An empty list differs from
 * no list: nothing is inherited. */
static const char *add_origin(cmd_parms *cmd, void *dir, const char *text)
{
    sf_dir_config *config = dir;
    const int none = ap_cstr_casecmp(text, "None") == 0;
    const char *message;
    const char *origin;

    if (none || !config->cors_origins) {
        config->cors_origins = apr_array_make(cmd->pool, 2, sizeof(const char *));
    }
    if (none) {
        return NULL;
    }
    message = sf_parse_origin(cmd->pool, text, &origin);
    if (!message) {
        APR_ARRAY_PUSH(config->cors_origins, const char *) = origin;
    }
    return named(cmd, message);
}

/* Reads the keys as httpd's parent process, before children exist: the file can be readable by root
 * alone. */
static const char *set_variable_keys(cmd_parms *cmd, void *dir, const char *path)
{
    const char *misplaced = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    const char *file = ap_server_root_relative(cmd->pool, path);
    const char *message;

    (void)dir;
    if (misplaced) {
        return misplaced;
    }
    if (!*path || !file) {
        return named(cmd, "takes the path of a file with keys");
    }
    message = sf_keyring_read(cmd->pool, file, &sf_config_process()->variable_keys);
    return message ? named(cmd, apr_psprintf(cmd->pool, "%s: %s", file, message)) : NULL;
}

/* Takes the folder of Assets on disk, and the bytes that it may have. */
static const char *set_asset_cache(cmd_parms *cmd, void *dir, const char *path, const char *bytes)
{
    const char *misplaced = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    sf_file_cache *cache = apr_pcalloc(cmd->pool, sizeof(*cache));
    const char *message = NULL;

    (void)dir;
    if (misplaced) {
        return misplaced;
    }
    cache->folder = ap_server_root_relative(cmd->pool, path);
    cache->limit = DEFAULT_ASSET_CACHE_BYTES;
    if (!cache->folder || strlen(cache->folder) > ASSET_CACHE_PATH_MAX) {
        return named(cmd, "takes the path of a folder, and the most bytes that it may have");
    }
    if (bytes) {
        message = sf_parse_disk_bytes(cmd->pool, bytes, &cache->limit);
    }
    sf_config_process()->asset_cache = cache;
    return named(cmd, message);
}

static const char *set_error_stack(cmd_parms *cmd, void *dir, int on)
{
    (void)cmd;
    ((sf_dir_config *)dir)->error_stack = on;
    return NULL;
}

static const char *set_pipelining(cmd_parms *cmd, void *dir, int on)
{
    const char *misplaced = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    sf_config_process()->pipelining = on;
    return misplaced;
}

/* A directive with one argument, for a member of sf_dir_config. */
#define LOCATION(name, parse, member, help)                                                        \
    AP_INIT_TAKE1(name, set_in_location, (&(setting){ parse, offsetof(sf_dir_config, member) }),   \
                  RSRC_CONF | ACCESS_CONF, help)

/* The same, but not allowed in a <Location>. */
#define VIRTUAL_HOST(name, parse, member, help)                                                    \
    AP_INIT_TAKE1(name, set_in_location, (&(setting){ parse, offsetof(sf_dir_config, member) }),   \
                  RSRC_CONF, help)

/* A directive with one argument, for a member of sf_process_config. */
#define PROCESS(name, parse, member, help)                                                         \
    AP_INIT_TAKE1(name, set_in_process,                                                            \
                  (&(setting){ parse, offsetof(sf_process_config, member) }), RSRC_CONF, help)

const command_rec sf_directives[] = {
    AP_INIT_FLAG("ServerlessFunctions", set_enabled, NULL, ACCESS_CONF,
                 "On to serve the Functions API in this Location"),
    LOCATION("ServerlessBaseURL", sf_parse_base_url, base_url,
             "scheme and host of the URLs in answers; by default those of the request"),
    LOCATION("ServerlessFormLimit", sf_parse_memory_bytes, form_limit,
             "the most bytes a form may have"),
    LOCATION("ServerlessDeleteTimeout", sf_parse_time, delete_timeout,
             "how long deleting a Service or an Environment may take"),
    LOCATION("ServerlessDomain", sf_parse_domain, domain,
             "what the domain names of Environments end with"),
    LOCATION("ServerlessAssetMaxAge", sf_parse_max_age, asset_max_age,
             "how long caches may use a public Asset without asking"),
    AP_INIT_RAW_ARGS("ServerlessRuntimes", add_runtimes, NULL, RSRC_CONF | ACCESS_CONF,
                     "the Runtimes a Build may have, the default last"),
    AP_INIT_ITERATE("ServerlessCORSOrigins", add_origin, NULL, RSRC_CONF | ACCESS_CONF,
                    "the origins whose pages may use the API in a browser, or None"),
    AP_INIT_FLAG("ServerlessExecution", set_execution, NULL, RSRC_CONF,
                 "On to answer requests to the domains of Environments in this virtual host"),
    AP_INIT_TAKE2("ServerlessEnvironment", set_environment, NULL, RSRC_CONF,
                  "the Service and the Environment that this virtual host is the domain of"),
    PROCESS("ServerlessRunner", sf_parse_socket, runner,
            "the control socket of the runner, which executes Functions"),
    LOCATION("ServerlessExecutionTimeout", sf_parse_execution_time, execution_timeout,
             "how long a call of a Function may take"),
    LOCATION("ServerlessQueueTimeout", sf_parse_time, queue_timeout,
             "how long a call waits for an isolate"),
    VIRTUAL_HOST("ServerlessConcurrency", sf_parse_isolates, concurrency,
                 "the most calls of an Environment at a time, on this machine"),
    PROCESS("ServerlessIsolates", sf_parse_isolates, isolates, "the most isolates of this machine"),
    VIRTUAL_HOST("ServerlessMemory", sf_parse_isolate_memory, memory,
                 "the most memory of an isolate"),
    PROCESS("ServerlessIdleTimeout", sf_parse_execution_time, idle_timeout,
            "how long an isolate without calls is kept"),
    PROCESS("ServerlessIsolateCalls", sf_parse_calls, isolate_calls,
            "the most calls of an isolate"),
    LOCATION("ServerlessRequestLimit", sf_parse_memory_bytes, body_limit,
             "the most bytes of the body of a request to a Function"),
    LOCATION("ServerlessResponseLimit", sf_parse_memory_bytes, answer_limit,
             "the most bytes of the body of a Function's answer"),
    AP_INIT_FLAG("ServerlessErrorStack", set_error_stack, NULL, RSRC_CONF | ACCESS_CONF,
                 "On to have the stack in the answer of a Function that has failed"),
    PROCESS("ServerlessCallLog", sf_parse_log_bytes, call_log,
            "the most bytes of the log entries of a call"),
    PROCESS("ServerlessLogSpool", sf_parse_path, log_spool,
            "the folder of log entries that are not in the database yet"),
    PROCESS("ServerlessLogTo", sf_parse_log_target, log_target,
            "a file, or | and a command, that gets each log entry of a call as a line of JSON"),
    PROCESS("ServerlessStaleRoutes", sf_parse_time_or_off, stale_routes,
            "how long known domains are answered while the database is away, or Off"),
    VIRTUAL_HOST("ServerlessSignatureScheme", sf_parse_scheme, signature_scheme,
                 "https or http: the scheme of the URLs that clients sign"),
    PROCESS("ServerlessFunctionLimit", sf_parse_memory_bytes, function_limit,
            "the most bytes a Function may have"),
    PROCESS("ServerlessAssetLimit", sf_parse_stored_bytes, asset_limit,
            "the most bytes an Asset may have"),
    PROCESS("ServerlessMaxPublicAssets", sf_parse_count, public_assets,
            "how many public Assets a Build may have, or Off"),
    PROCESS("ServerlessMaxProtectedAssets", sf_parse_count, protected_assets,
            "how many protected Assets a Build may have, or Off"),
    PROCESS("ServerlessMaxPrivateAssets", sf_parse_count, private_assets,
            "how many private Assets a Build may have, or Off"),
    AP_INIT_TAKE12("ServerlessAssetCache", set_asset_cache, NULL, RSRC_CONF,
                   "the folder for Assets on disk, and the most bytes that it may have"),
    PROCESS("ServerlessMaxRequests", sf_parse_count, request_limit,
            "how many requests all accounts have at a time, or Off"),
    PROCESS("ServerlessMaxRequestsPerAccount", sf_parse_count, account_request_limit,
            "how many requests an account has at a time, or Off"),
    PROCESS("ServerlessNode", sf_parse_executable, node,
            "a node that checks whether Functions compile"),
    PROCESS("ServerlessBuildTimeout", sf_parse_time, build_timeout,
            "how long one attempt to finish a Build may take"),
    PROCESS("ServerlessInstallTimeout", sf_parse_execution_time, install_timeout,
            "how long the runner may take to resolve the Dependencies of a Build"),
    PROCESS("ServerlessDependencyCheck", sf_parse_time_or_off, dependency_check,
            "how long creating a Build waits for the registry's word, or Off"),
    PROCESS("ServerlessBundleLimit", sf_parse_stored_bytes, bundle_limit,
            "the most bytes that the packages of a Build may have"),
    PROCESS("ServerlessLogRetention", sf_parse_age, log_retention,
            "how long entries of logs are kept, or Off"),
    AP_INIT_TAKE1("ServerlessVariableKeys", set_variable_keys, NULL, RSRC_CONF,
                  "the file with the keys that Variables are encrypted with"),
    PROCESS("ServerlessDBConnections", sf_parse_connections, db_connections,
            "how many of mod_dbd's connections a child uses at once"),
    PROCESS("ServerlessDBTimeout", sf_parse_time, db_timeout,
            "how long a request waits for a connection"),
    AP_INIT_FLAG("ServerlessPipelining", set_pipelining, NULL, RSRC_CONF,
                 "On to send short statements of several requests together"),
    { NULL, { NULL }, NULL, 0, RAW_ARGS, NULL },
};
