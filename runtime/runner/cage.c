#include "runtime/runner/cage.h"
#include "core/process/seccomp.h"
#include "runtime/runner/program.h"
#include "runtime/runner/text_file.h"

#include <apr_hash.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNTIME "/var/runtime"
#define BUILD "/var/task"
#define BUNDLE "/var/task/node_modules"
#define PACKAGES "/opt/packages"
#define NODE "/opt/bin/node"
#define INSTALL "/var/install"
#define WORK "/var/work"
#define NPM_CONFIG "/etc/npmrc"
#define NPM_CACHE "/var/npm-cache"
#define SIGNALED 128
#define MEGABYTE (1024 * 1024)

/* Processes and threads in a cage. An idle isolate has about a dozen. */
#define PROCESSES "64"

/* One thread in place of four compiles and marks objects beside the thread that runs JavaScript: each keeps memory of its own. */
#define THREADS "--v8-pool-size=1"

/* Descriptors of each process. */
#define DESCRIPTORS "1024"

static const sf_program bubblewrap_program = { "bwrap", "bubblewrap" };
static const sf_program prlimit_program = { "prlimit", "util-linux" };

struct sf_cage {
    const sf_runner_config *config;
    const char *bubblewrap; /* paths of programs */
    const char *prlimit;
    const char *etc;       /* folder of the generated files */
    const char *empty;     /* a folder without files */
    int filter;            /* of system calls; -1 at the level none */
    apr_hash_t *margins;   /* of apr_size_t, by the path of node */
    sf_networks *networks; /* NULL unless egress is filtered */
};


/* /etc ---------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    const char *text;
} etc_files[] = {
    { "passwd", "function:x:1000:1000::/tmp:/usr/sbin/nologin\n" },
    { "group", "function:x:1000:\n" },
    { "hosts", "127.0.0.1 localhost\n::1 localhost\n" },
    { "nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n" },
};

#define ETC_FILES (sizeof(etc_files) / sizeof(*etc_files))

/* Returns the text of resolv.conf; NULL if it is the machine's. */
static const char *resolvers(apr_pool_t *pool, const sf_cage *cage)
{
    const sf_egress_rules *rules;

    if (cage->config->egress == SF_EGRESS_HOST) {
        return NULL;
    }
    if (!cage->networks) {
        return "";
    }
    rules = sf_networks_rules(cage->networks);
    return apr_pstrcat(pool, rules->ipv4 ? "nameserver " SF_EGRESS_RESOLVER4 "\n" : "",
                       rules->ipv6 ? "nameserver " SF_EGRESS_RESOLVER6 "\n" : "", NULL);
}

static const char *write_etc(apr_pool_t *pool, sf_cage *cage)
{
    const char *text = resolvers(pool, cage);
    const char *message = NULL;
    size_t i;

    for (i = 0; i < ETC_FILES && !message; i++) {
        message = sf_text_file_write(
            pool, apr_pstrcat(pool, cage->etc, "/", etc_files[i].name, NULL), etc_files[i].text);
    }
    if (!message && text) {
        message
            = sf_text_file_write(pool, apr_pstrcat(pool, cage->etc, "/resolv.conf", NULL), text);
    }
    return message;
}


/* The command line ---------------------------------------------------------------------------- */

/* Namespaces and rights. Without further user namespaces, no process in the cage can get rights over new ones. */
static const char *const separation[] = { "--unshare-user",
                                          "--disable-userns",
                                          "--uid",
                                          "1000",
                                          "--gid",
                                          "1000",
                                          "--unshare-pid",
                                          "--unshare-ipc",
                                          "--unshare-uts",
                                          "--unshare-cgroup",
                                          "--hostname",
                                          "function",
                                          "--die-with-parent",
                                          "--new-session",
                                          "--cap-drop",
                                          "ALL",
                                          "--seccomp",
                                          APR_STRINGIFY(SF_CAGE_FILTER_DESCRIPTOR),
                                          NULL };

/* Folders and devices. There is no /dev/shm, as on AWS Lambda: it would be a second place to fill. */
static const char *const files[] = { "--ro-bind",
                                     "/usr",
                                     "/usr",
                                     "--proc",
                                     "/proc",
                                     "--size",
                                     "4096",
                                     "--tmpfs",
                                     "/dev",
                                     "--dev-bind",
                                     "/dev/null",
                                     "/dev/null",
                                     "--dev-bind",
                                     "/dev/zero",
                                     "/dev/zero",
                                     "--dev-bind",
                                     "/dev/full",
                                     "/dev/full",
                                     "--dev-bind",
                                     "/dev/random",
                                     "/dev/random",
                                     "--dev-bind",
                                     "/dev/urandom",
                                     "/dev/urandom",
                                     "--symlink",
                                     "/proc/self/fd",
                                     "/dev/fd",
                                     "--symlink",
                                     "/proc/self/fd/0",
                                     "/dev/stdin",
                                     "--symlink",
                                     "/proc/self/fd/1",
                                     "/dev/stdout",
                                     "--symlink",
                                     "/proc/self/fd/2",
                                     "/dev/stderr",
                                     "--ro-bind-try",
                                     "/etc/ssl/certs",
                                     "/etc/ssl/certs",
                                     "--ro-bind-try",
                                     "/etc/alternatives",
                                     "/etc/alternatives",
                                     "--ro-bind-try",
                                     "/etc/ld.so.cache",
                                     "/etc/ld.so.cache",
                                     "--size",
                                     APR_STRINGIFY(SF_CAGE_TEMPORARY),
                                     "--tmpfs",
                                     "/tmp",
                                     NULL };

/* The last of the options, after which nothing can be made in / and /dev. */
static const char *const closing[]
    = { "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", BUILD, "--", NULL };

/* Begins the command: the cgroup first, since it cannot be seen from inside, then the network. */
static apr_array_header_t *begin(apr_pool_t *pool, const sf_cage_isolate *isolate)
{
    static const char *const join[] = { "/bin/sh", "-c", "echo $$ >\"$0\" && exec \"$@\"", NULL };
    apr_array_header_t *arguments = apr_array_make(pool, 96, sizeof(const char *));

    if (isolate->group) {
        sf_program_add(arguments, join);
        APR_ARRAY_PUSH(arguments, const char *) = isolate->group;
    }
    if (isolate->network) {
        sf_network_enter(isolate->network, arguments);
    }
    return arguments;
}

static void bind_path(apr_array_header_t *arguments, const char *from, const char *to)
{
    const char *const words[] = { "--ro-bind", from, to, NULL };

    sf_program_add(arguments, words);
}

/* Binds the links of the root folder to /usr, or the folders where a system has these in place of links. */
static void bind_root(apr_array_header_t *arguments)
{
    static const char *const names[] = { "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32" };
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char target[256];
        const ssize_t length = readlink(names[i], target, sizeof(target));

        if (length > 0 && length < (ssize_t)sizeof(target)) {
            const char *const words[]
                = { "--symlink", apr_pstrmemdup(arguments->pool, target, (apr_size_t)length),
                    names[i], NULL };

            sf_program_add(arguments, words);
        }
        else if (access(names[i], F_OK) == 0) {
            bind_path(arguments, names[i], names[i]);
        }
    }
}

static void bind_etc(apr_array_header_t *arguments, const sf_cage *cage)
{
    apr_pool_t *pool = arguments->pool;
    size_t i;

    for (i = 0; i < ETC_FILES; i++) {
        bind_path(arguments, apr_pstrcat(pool, cage->etc, "/", etc_files[i].name, NULL),
                  apr_pstrcat(pool, "/etc/", etc_files[i].name, NULL));
    }
    bind_path(arguments,
              cage->config->egress == SF_EGRESS_HOST
                  ? "/etc/resolv.conf"
                  : apr_pstrcat(pool, cage->etc, "/resolv.conf", NULL),
              "/etc/resolv.conf");
}

/* Returns the folder of a file. */
static const char *folder_of(apr_pool_t *pool, const char *path)
{
    return apr_pstrmemdup(pool, path, (apr_size_t)(apr_filepath_name_get(path) - path));
}

/* Binds an isolate's own files. The program node is a file, wherever it is on the machine: what else it needs is in /usr. */
static void bind_isolate(apr_array_header_t *arguments, const sf_cage *cage,
                         const sf_cage_isolate *isolate)
{
    apr_pool_t *pool = arguments->pool;

    bind_path(arguments, isolate->node, NODE);
    bind_path(arguments, folder_of(pool, cage->config->isolate), RUNTIME);
    bind_path(arguments, isolate->build, BUILD);
    if (isolate->bundle) {
        bind_path(arguments, isolate->bundle, BUNDLE);
    }
    if (cage->config->twilio) {
        bind_path(arguments, cage->config->twilio, PACKAGES);
    }
}

/* Binds what install.js needs. npm itself is in /usr. */
static void bind_install(apr_array_header_t *arguments, const sf_cage *cage, const char *work)
{
    const char *const words[] = { "--bind", work, WORK, NULL };

    sf_program_add(arguments, words);
    bind_path(arguments, folder_of(arguments->pool, cage->config->install), INSTALL);
    if (cage->config->npm_config) {
        bind_path(arguments, cage->config->npm_config, NPM_CONFIG);
    }
    if (cage->config->npm_cache) {
        bind_path(arguments, cage->config->npm_cache, NPM_CACHE);
    }
}

/* Returns whether the program has no network at all. install.js has to reach a registry, unless it has a cache. */
static int is_without_network(const sf_runner_config *config, const sf_cage_isolate *isolate)
{
    return config->egress == SF_EGRESS_NONE && (!isolate->work || config->npm_cache);
}

/* Appends bubblewrap with all its options. */
static void add_bubblewrap(apr_array_header_t *arguments, const sf_cage *cage,
                           const sf_cage_isolate *isolate)
{
    APR_ARRAY_PUSH(arguments, const char *) = cage->bubblewrap;
    sf_program_add(arguments, separation);
    if (is_without_network(cage->config, isolate)) {
        APR_ARRAY_PUSH(arguments, const char *) = "--unshare-net";
    }
    sf_program_add(arguments, files);
    bind_root(arguments);
    bind_etc(arguments, cage);
    bind_isolate(arguments, cage, isolate);
    if (isolate->work) {
        bind_install(arguments, cage, isolate->work);
    }
    sf_program_add(arguments, closing);
}

/* Appends prlimit. Processes are counted by user and user namespace: at the level none, those of all isolates and of the
 * runner together, so that no limit would be right. */
static void add_limits(apr_array_header_t *arguments, const sf_cage *cage)
{
    APR_ARRAY_PUSH(arguments, const char *) = cage->prlimit;
    APR_ARRAY_PUSH(arguments, const char *) = "--nofile=" DESCRIPTORS;
    if (cage->config->isolation != SF_ISOLATION_NONE) {
        APR_ARRAY_PUSH(arguments, const char *) = "--nproc=" PROCESSES;
    }
    APR_ARRAY_PUSH(arguments, const char *) = "--";
}

const char *const *sf_cage_program_arguments(apr_pool_t *pool, const sf_cage *cage,
                                             const sf_cage_isolate *isolate,
                                             const char *const *program)
{
    apr_array_header_t *arguments = begin(pool, isolate);

    if (cage->config->isolation != SF_ISOLATION_NONE) {
        add_bubblewrap(arguments, cage, isolate);
    }
    add_limits(arguments, cage);
    sf_program_add(arguments, program);
    APR_ARRAY_PUSH(arguments, const char *) = NULL;
    return (const char *const *)arguments->elts;
}

const char *const *sf_cage_isolate_arguments(apr_pool_t *pool, const sf_cage *cage,
                                             const sf_cage_isolate *isolate)
{
    const int caged = cage->config->isolation != SF_ISOLATION_NONE;
    const sf_runner_config *config = cage->config;
    const char *const program[]
        = { sf_cage_node(cage, isolate),
            apr_psprintf(pool, "--max-old-space-size=%" APR_SIZE_T_FMT,
                         isolate->memory / 4 * 3 / MEGABYTE),
            THREADS,
            caged ? apr_pstrcat(pool, RUNTIME "/", apr_filepath_name_get(config->isolate), NULL)
                  : config->isolate,
            caged ? BUILD : isolate->build,
            NULL };

    return sf_cage_program_arguments(pool, cage, isolate, program);
}

void sf_cage_install(apr_pool_t *pool, const sf_cage *cage, sf_cage_command *command)
{
    const int caged = cage->config->isolation != SF_ISOLATION_NONE;
    const sf_runner_config *config = cage->config;
    const sf_cage_isolate isolate = { .node = command->node,
                                      .build = cage->empty,
                                      .network = command->network,
                                      .work = command->folder };
    const char *const program[]
        = { caged ? NODE : command->node,
            caged ? apr_pstrcat(pool, INSTALL "/", apr_filepath_name_get(config->install), NULL)
                  : config->install,
            caged ? WORK : command->folder, NULL };
    const char **environment = apr_pcalloc(pool, 2 * sizeof(*environment));

    environment[0]
        = apr_pstrcat(pool, "PATH=", folder_of(pool, program[0]), ":/usr/bin:/bin", NULL);
    command->arguments = sf_cage_program_arguments(pool, cage, &isolate, program);
    command->environment = environment;
    command->npm_config = config->npm_config && caged ? NPM_CONFIG : config->npm_config;
    command->npm_cache = config->npm_cache && caged ? NPM_CACHE : config->npm_cache;
}

const char *const *sf_cage_environment(apr_pool_t *pool, const sf_cage *cage)
{
    const char **environment = apr_pcalloc(pool, 2 * sizeof(*environment));
    const char *packages
        = cage->config->isolation == SF_ISOLATION_NONE ? cage->config->twilio : PACKAGES;

    if (cage->config->twilio) {
        environment[0] = apr_pstrcat(pool, "NODE_PATH=", packages, NULL);
    }
    return environment;
}

apr_size_t sf_cage_data(const sf_cage *cage, const sf_cage_isolate *isolate)
{
    const apr_size_t *margin = apr_hash_get(cage->margins, isolate->node, APR_HASH_KEY_STRING);

    return isolate->memory + (margin ? *margin : SF_CAGE_DATA_MARGIN);
}

void sf_cage_set_margin(const sf_cage *cage, const char *node, const apr_size_t *margin)
{
    apr_hash_set(cage->margins, node, APR_HASH_KEY_STRING, margin);
}

int sf_cage_signal(const sf_cage *cage, int status)
{
    if (WIFSIGNALED(status)) {
        return WTERMSIG(status);
    }
    return cage->config->isolation != SF_ISOLATION_NONE && WEXITSTATUS(status) > SIGNALED
               ? WEXITSTATUS(status) - SIGNALED
               : 0;
}

int sf_cage_filter(const sf_cage *cage)
{
    return cage->filter < 0 ? -1 : sf_seccomp_open(cage->filter);
}

const char *sf_cage_limiter(const sf_cage *cage)
{
    return cage->prlimit;
}

const char *sf_cage_node(const sf_cage *cage, const sf_cage_isolate *isolate)
{
    return cage->config->isolation == SF_ISOLATION_NONE ? isolate->node : NODE;
}

const char *sf_cage_empty_folder(const sf_cage *cage)
{
    return cage->empty;
}

sf_networks *sf_cage_networks(const sf_cage *cage)
{
    return cage->networks;
}


/* The start of the runner --------------------------------------------------------------------- */

/* Checks that the levels are such that the runner has, and go together. */
static const char *check_levels(const sf_runner_config *config)
{
    return config->isolation == SF_ISOLATION_NONE && config->egress != SF_EGRESS_HOST
               ? "Isolation none goes with Egress host only: without a cage, a Function could "
                 "change its network"
               : NULL;
}

/* Makes the parts of the level bubblewrap. */
static const char *make_parts(apr_pool_t *pool, sf_cage *cage, const char *folder)
{
    const char *message = sf_program_find(pool, &bubblewrap_program, &cage->bubblewrap);

    if (!message) {
        message = sf_text_file_folder(pool, cage->config->cache);
    }
    if (!message) {
        message = sf_text_file_folder(pool, folder);
    }
    if (!message) {
        message = sf_text_file_folder(pool, cage->empty);
    }
    if (!message) {
        message = sf_text_file_folder(pool, cage->etc);
    }
    if (!message && cage->config->egress == SF_EGRESS_FILTERED) {
        message = sf_networks_make(pool, cage->config->egress_allow, &cage->networks);
    }
    if (!message) {
        message = write_etc(pool, cage);
    }
    return message ? message : sf_seccomp_make(SF_SECCOMP_CAGE, &cage->filter);
}

const char *sf_cage_make(apr_pool_t *pool, const sf_runner_config *config, sf_cage **cage)
{
    const char *folder = apr_pstrcat(pool, config->cache, "/cage", NULL);
    sf_cage *made = apr_pcalloc(pool, sizeof(*made));
    const char *message = check_levels(config);

    made->config = config;
    made->etc = apr_pstrcat(pool, folder, "/etc", NULL);
    made->empty = apr_pstrcat(pool, folder, "/empty", NULL);
    made->margins = apr_hash_make(pool);
    made->filter = -1;
    if (!message) {
        message = sf_program_find(pool, &prlimit_program, &made->prlimit);
    }
    if (!message && config->isolation != SF_ISOLATION_NONE) {
        message = make_parts(pool, made, folder);
    }
    *cage = made;
    return message;
}
