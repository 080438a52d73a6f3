/* Whether sources compile as JavaScript: one caged node process for all of a Build's, which never runs
 * them. It has an empty environment, an empty directory that has no name any more, no descriptor but
 * its pipes, a process group of its own, and limits on processor time, memory and duration. */
#ifndef SF_JAVASCRIPT_H
#define SF_JAVASCRIPT_H

#include <apr_pools.h>
#include <apr_time.h>

typedef enum {
    SF_JAVASCRIPT_VALID,
    SF_JAVASCRIPT_INVALID,   /* and why */
    SF_JAVASCRIPT_EXHAUSTED, /* it needed more time or memory than there is */
    SF_JAVASCRIPT_STOPPED,   /* httpd stops; nothing is known of the sources */
    SF_JAVASCRIPT_BROKEN     /* the node cannot be run */
} sf_javascript_result;

typedef struct sf_javascript sf_javascript;

/* Starts `node` (a path), to be done at `deadline`. Returns NULL where that cannot be; errno tells. */
sf_javascript *sf_javascript_begin(apr_pool_t *pool, const char *node, apr_time_t deadline);

/* Hands over one source. Returns 0 where the process takes no more; the result then tells why. */
int sf_javascript_add(sf_javascript *check, const char *path, const char *source);

/* Ends the check; the process is gone then. With SF_JAVASCRIPT_INVALID, `reason` is its text. */
sf_javascript_result sf_javascript_end(sf_javascript *check, const char **reason);

#endif
