/* Background tasks: threads of mod_watchdog in httpd's children, which call each task ten times
 * a second for each database. */
#ifndef SF_BACKGROUND_H
#define SF_BACKGROUND_H

#include <httpd.h>
#include <mod_watchdog.h>

typedef struct sf_background_task sf_background_task;

/* Does the part of the task that is due. `pool` is cleared afterwards. */
typedef void sf_background_step(sf_background_task *task, apr_pool_t *pool);

/* A task for one database. A task with state of its own has this as the first member of a larger
 * struct. */
struct sf_background_task {
    server_rec *server; /* the first virtual host with this database */
    sf_background_step *step;
    apr_time_t next_step; /* when the task is due; the step reads and writes it. 0: at once */
};

/* Makes a task for each database of `s` and the servers after it, and a thread `name` in each
 * child that runs their steps one after another. A task has `size` bytes, which begin with an
 * sf_background_task and are 0 otherwise. Called from post_config. Returns APR_SUCCESS;
 * APR_ENOTIMPL where mod_watchdog is not loaded; or the error of mod_watchdog. */
apr_status_t sf_background_add(const char *name, sf_background_step *step, apr_size_t size,
                               server_rec *s, apr_pool_t *pconf);

/* Waits until the steps that run now have ended, ten seconds at most, and keeps others from
 * beginning. Hook child_stopping: httpd does not wait for these threads, and mod_dbd ends the
 * process by an assertion of APR where a connection is in use when its pool is destroyed. */
void sf_background_stop(apr_pool_t *pool, int graceful);

/* Returns whether this child is about to end. A step that takes long asks, and comes to an end
 * then. */
int sf_background_stopping(void);

#endif
