/* The compile check: whether sources compile as JavaScript. One node process checks all sources
 * of a Build, in a sandbox (core/process/sandbox.h), and never runs them. */
#ifndef SF_JAVASCRIPT_H
#define SF_JAVASCRIPT_H

#include <apr_pools.h>
#include <apr_time.h>

typedef enum {
    SF_JAVASCRIPT_VALID,
    SF_JAVASCRIPT_INVALID,   /* a source does not compile */
    SF_JAVASCRIPT_EXHAUSTED, /* the process used up its time or memory */
    SF_JAVASCRIPT_STOPPED,   /* httpd stops; nothing is known of the sources */
    SF_JAVASCRIPT_BROKEN     /* the process could not be started */
} sf_javascript_result;

typedef struct sf_javascript sf_javascript;

/* Starts a check by the program `node` (a path), which ends at `deadline` at the latest. A
 * failure to start is the check's result: SF_JAVASCRIPT_BROKEN. */
sf_javascript *sf_javascript_begin(apr_pool_t *pool, const char *node, apr_time_t deadline);

/* Sends one source. Its error message names it by `path`. Returns 0 where the process takes no
 * more; the check's result says why. */
int sf_javascript_add(sf_javascript *check, const char *path, const char *source);

/* Ends the check and its process. Returns the result; with SF_JAVASCRIPT_INVALID, `reason` is
 * the first source's error message, UTF-8 of one line. */
sf_javascript_result sf_javascript_end(sf_javascript *check, const char **reason);

#endif
