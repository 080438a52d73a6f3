/* What the directives say. Unset members hold a sentinel; defaults are resolved when they are read,
 * by the functions below, so that creating and merging stay plain. */
#ifndef SF_CONFIG_H
#define SF_CONFIG_H

#include <httpd.h>

#define SF_UNSET (-1)

/* Of a <Location> or virtual host. */
typedef struct {
    int enabled;                      /* ServerlessFunctions */
    const char *prefix;               /* what stands before /Services in the path, as "/v1" */
    const char *base_url;             /* ServerlessBaseURL */
    apr_off_t form_limit;             /* ServerlessFormLimit, bytes */
    apr_interval_time_t delete_limit; /* ServerlessDeleteTimeout */
} sf_dir_config;

/* Of a virtual host: whether the API is enabled in it at all. */
typedef struct {
    int enabled;
} sf_server_config;

/* Of the process: every virtual host shares one gate to the database. */
typedef struct {
    int db_connections;             /* ServerlessDBConnections */
    apr_interval_time_t db_timeout; /* ServerlessDBTimeout */
} sf_process_config;

extern sf_process_config sf_process;

/* The configuration in force for a request, or for a server. Never NULL. */
const sf_dir_config *sf_dir_config_of(const request_rec *r);
const sf_server_config *sf_server_config_of(const server_rec *s);

/* The most bytes a form may have. */
apr_off_t sf_form_limit(const request_rec *r);

/* How long a statement that deletes a whole Service may run. */
apr_interval_time_t sf_delete_limit(const request_rec *r);

/* How many connections to the database a child uses at once, at most `maximum` of them where the
 * administrator did not say. */
int sf_db_connections(int maximum);

/* How long a request waits for one of them. */
apr_interval_time_t sf_db_timeout(void);

#endif
