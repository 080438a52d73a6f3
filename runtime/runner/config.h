/* The runner's configuration file: lines "Name value ...", comments behind "#". */
#ifndef SF_RUNNER_CONFIG_H
#define SF_RUNNER_CONFIG_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <sys/types.h>

typedef enum { SF_ISOLATION_NONE, SF_ISOLATION_BUBBLEWRAP } sf_isolation;
typedef enum { SF_EGRESS_NONE, SF_EGRESS_FILTERED, SF_EGRESS_HOST } sf_egress;

/* A Runtime: its name in the API, and its program of Node.js. */
typedef struct {
    const char *name;
    const char *node;
} sf_runtime;

typedef struct {
    const char *path;             /* of the file */
    const char *control;          /* path of the control socket */
    apr_array_header_t *clients;  /* of uid_t: users that may connect */
    apr_array_header_t *runtimes; /* of sf_runtime */
    sf_isolation isolation;
    sf_egress egress;
    apr_array_header_t
        *egress_allow;      /* of const char *: ranges that `filtered` permits nevertheless */
    const char *cache;      /* folder of Builds */
    apr_off_t cache_bytes;  /* of all Builds together */
    const char *isolate;    /* runtime/isolate/main.js */
    const char *twilio;     /* folder that has the package twilio, or NULL */
    const char *install;    /* runtime/install/install.js, or NULL: Dependencies are not resolved */
    const char *npm;        /* program */
    const char *npm_config; /* npmrc, or NULL */
    const char *npm_cache;  /* folder that packages come from in place of a registry, or NULL */
} sf_runner_config;

/* Reads and checks the file. Returns NULL, or a message that begins with the file's path and the number
 * of the line. */
const char *sf_runner_config_read(apr_pool_t *pool, const char *path, sf_runner_config **config);

/* Returns the Runtime of that name, or NULL. */
const sf_runtime *sf_runner_config_runtime(const sf_runner_config *config, const char *name);

/* Returns the names of the levels as in the file. */
const char *sf_isolation_name(sf_isolation isolation);
const char *sf_egress_name(sf_egress egress);

#endif
