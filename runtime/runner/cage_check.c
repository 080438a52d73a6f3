#include "runtime/runner/cage_check.h"
#include "runtime/runner/program.h"

#include <apr_strings.h>
#include <stdio.h>
#include <unistd.h>

#define TUN "/dev/net/tun"

/* The memory of the isolate with which a node is tried. */
#define MEMORY ((apr_size_t)128 * 1024 * 1024)

static const apr_size_t margins[] = { SF_CAGE_DATA_MARGIN, SF_CAGE_DATA_MARGIN_MAX };

#define MARGINS (sizeof(margins) / sizeof(*margins))

/* Settings of the kernel that keep a user from making namespaces. */
static const struct {
    const char *path;
    char value;
    const char *advice;
} settings[] = {
    { "/proc/sys/kernel/unprivileged_userns_clone", '0',
      "; set kernel.unprivileged_userns_clone=1 with sysctl" },
    { "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", '1',
      "; AppArmor restricts user namespaces: see docs/execution.md for a profile" },
};

/* Returns what an administrator may have to change, or "". */
static const char *advise(void)
{
    size_t i;

    for (i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
        char value[2] = "";
        FILE *file = fopen(settings[i].path, "r");

        if (file) {
            const int read = fread(value, 1, 1, file) == 1 && getc(file) == '\n';

            (void)fclose(file);
            if (read && value[0] == settings[i].value) {
                return settings[i].advice;
            }
        }
    }
    return "";
}

/* Runs the program in the isolate's cage. */
static const char *run(apr_pool_t *pool, const sf_cage *cage, const sf_cage_isolate *isolate,
                       const char *const *program)
{
    const int filter = sf_cage_filter(cage);
    const int descriptors[] = { filter, filter }; /* the first one stands for the line */
    const char *message
        = sf_program_run(pool, sf_cage_program_arguments(pool, cage, isolate, program), descriptors,
                         filter < 0 ? 0 : 2);

    if (filter >= 0) {
        close(filter);
    }
    return message;
}

/* A program with a thread beside the main one. */
static const char worker[] = "new (require('worker_threads').Worker)('0', { eval: true })";

/* Runs a Runtime's node, within as little data as it needs. */
static const char *check_node(apr_pool_t *pool, const sf_cage *cage, const sf_runtime *runtime,
                              const sf_network *network)
{
    const sf_cage_isolate isolate = { .node = runtime->node,
                                      .build = sf_cage_empty_folder(cage),
                                      .memory = MEMORY,
                                      .network = network };
    const char *message = NULL;
    size_t i;

    for (i = 0; i < MARGINS; i++) {
        const char *const program[]
            = { sf_cage_limiter(cage),
                apr_psprintf(pool, "--data=%" APR_SIZE_T_FMT, MEMORY + margins[i]),
                "--",
                sf_cage_node(cage, &isolate),
                "-e",
                worker,
                NULL };

        message = run(pool, cage, &isolate, program);
        if (!message) {
            sf_cage_set_margin(cage, runtime->node, &margins[i]);
            return NULL;
        }
    }
    return apr_pstrcat(pool, "Runtime ", runtime->name, " does not run: ", message, NULL);
}

/* Runs the program `true`, then each node. */
static const char *check_programs(apr_pool_t *pool, const sf_cage *cage,
                                  const sf_runner_config *config, const sf_network *network)
{
    static const char *const nothing[] = { "/bin/true", NULL };
    const sf_cage_isolate isolate
        = { .node = "/bin/true", .build = sf_cage_empty_folder(cage), .network = network };
    const char *message = run(pool, cage, &isolate, nothing);
    int i;

    if (message) {
        return apr_pstrcat(pool, "Isolation ", sf_isolation_name(config->isolation), ": ", message,
                           advise(), NULL);
    }
    for (i = 0; i < config->runtimes->nelts && !message; i++) {
        message = check_node(pool, cage, &APR_ARRAY_IDX(config->runtimes, i, sf_runtime), network);
    }
    return message;
}

const char *sf_cage_check(apr_pool_t *pool, const sf_cage *cage, const sf_runner_config *config)
{
    sf_network *network = NULL;
    const char *message;

    if (sf_cage_networks(cage) && access(TUN, R_OK | W_OK) != 0) {
        return "Egress filtered: this user may not open " TUN
               "; give it the mode 0666, or set Egress to none or host";
    }
    message = sf_networks_ready(sf_cage_networks(cage), "check", &network);
    message = message ? apr_pstrcat(pool, "Egress filtered: ", message, NULL)
                      : check_programs(pool, cage, config, network);
    if (network) {
        sf_network_drop(network);
    }
    return message;
}
