/* What the directives say. Unset members hold a sentinel; defaults are resolved when they are read,
 * by the functions below, so that creating and merging stay plain. */
#ifndef SF_CONFIG_H
#define SF_CONFIG_H

#include <httpd.h>

#define SF_UNSET (-1)

/* Of a <Location> or virtual host. */
typedef struct {
    int enabled;                        /* ServerlessFunctions */
    const char *prefix;                 /* what stands before /Services in the path, as "/v1" */
    const char *base_url;               /* ServerlessBaseURL */
    apr_off_t form_limit;               /* ServerlessFormLimit, bytes */
    apr_interval_time_t delete_limit;   /* ServerlessDeleteTimeout */
    const char *domain;                 /* ServerlessDomain */
    const apr_array_header_t *runtimes; /* ServerlessRuntimes, const char * each */
    const apr_array_header_t *origins;  /* ServerlessCORSOrigins, const char * each */
} sf_dir_config;

/* Of a virtual host. */
typedef struct {
    int enabled;       /* whether the API is, in a Location of it */
    int database;      /* the number of its database, from 1 */
    int owns_database; /* it is the first that has the API over that */
} sf_server_config;

/* Of the process: what virtual hosts share, the gate to the database and the worker. */
typedef struct {
    int db_connections;                /* ServerlessDBConnections */
    apr_interval_time_t db_timeout;    /* ServerlessDBTimeout */
    int pipelining;                    /* ServerlessPipelining */
    apr_off_t function_limit;          /* ServerlessFunctionLimit, bytes */
    apr_off_t asset_limit;             /* ServerlessAssetLimit, bytes */
    const char *node;                  /* ServerlessNode, or NULL */
    apr_interval_time_t build_timeout; /* ServerlessBuildTimeout */
    apr_interval_time_t log_retention; /* ServerlessLogRetention, 0 for Off */

    const struct sf_secret_keys *variable_keys; /* ServerlessVariableKeys, or NULL */
} sf_process_config;

extern sf_process_config sf_process;

/* The configuration in force for a request, or for a server. Never NULL. */
const sf_dir_config *sf_dir_config_of(const request_rec *r);
const sf_server_config *sf_server_config_of(const server_rec *s);

/* Of this server and those after it, the first that is the first of a database with the API, or NULL:
 * to be used as the start and the step of a loop over databases. */
server_rec *sf_next_database(server_rec *s);

/* The most bytes a form may have. */
apr_off_t sf_form_limit(const request_rec *r);

/* How long a statement that deletes a whole Service may run. */
apr_interval_time_t sf_delete_limit(const request_rec *r);

/* How many connections to the database a child uses at once, at most `maximum` of them where the
 * administrator did not say. */
int sf_db_connections(int maximum);

/* With fewer connections there is no pipelining: one for reads that go together, one for writes, one for
 * a long statement, and one for all others. */
#define SF_PIPELINES 2
#define SF_LEAST_FOR_PIPELINING (SF_PIPELINES + 2)

/* Whether some of so many connections are for what goes together. */
int sf_pipelining(int connections);

/* How long a request waits for one of them. */
apr_interval_time_t sf_db_timeout(void);

/* What domain names end with, "twil.io". */
const char *sf_domain(const request_rec *r);

/* The Runtimes a Build may have, the default last; their number goes to `count`. */
const char *const *sf_runtimes(const request_rec *r, int *count);

/* The most bytes a Function may have. */
apr_off_t sf_function_limit(void);

/* The most bytes an Asset may have. */
apr_off_t sf_asset_limit(void);

/* How long one attempt to finish a Build may take. */
apr_interval_time_t sf_build_timeout(void);

/* How old entries of logs become, or 0 where they are kept. */
apr_interval_time_t sf_log_retention(void);

/* What Variables are encrypted with, or NULL where the administrator has not said. */
const struct sf_secret_keys *sf_variable_keys(void);

#endif
