/* Threads of mod_watchdog's, for what httpd's children do in the background. */
#ifndef SF_BACKGROUND_H
#define SF_BACKGROUND_H

#include <httpd.h>
#include <mod_watchdog.h>

typedef struct sf_background_task sf_background_task;

/* Does what is due in a database; `pool` is cleared afterwards. */
typedef void sf_background_step(sf_background_task *watched, apr_pool_t *pool);

/* What a thread knows of each database; what else it has to remember of it stands behind that. */
struct sf_background_task {
    server_rec *server;       /* one that is over it */
    sf_background_step *look; /* what is called */
    apr_time_t next_look;     /* when it is its turn, 0 for at once */
};

/* Has mod_watchdog call `look` ten times a second for each database of `s` and the servers after it, in
 * a thread called `name` in each child, not in the parent. What `look` gets is `size` bytes of the
 * database's own, which begin with an sf_background_task and are 0 otherwise. Called from post_config; returns
 * APR_SUCCESS, APR_ENOTIMPL where mod_watchdog is not loaded, or why it failed. */
apr_status_t sf_background_add(const char *name, sf_background_step *look, apr_size_t size,
                               server_rec *s, apr_pool_t *pconf);

/* Waits until these threads are done with what they have in hand, ten seconds at most. Hook
 * child_stopping: httpd does not wait for them, and mod_dbd ends the process (an assertion of APR's)
 * where a connection is in use when its pool goes. */
void sf_background_stop(apr_pool_t *pool, int graceful);

/* Whether this child is about to end: what takes long should come to an end. */
int sf_background_stopping(void);

#endif
