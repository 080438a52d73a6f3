/* "serverless-runner --status": asks the runner that runs for its status. */
#ifndef SF_STATUS_PRINT_H
#define SF_STATUS_PRINT_H

#include <apr_pools.h>

/* Prints the status of the runner with this control socket, as JSON on a line. Returns NULL, or why there is none. */
const char *sf_status_print(apr_pool_t *pool, const char *control);

#endif
