/* Background tasks of a node: threads in one of httpd's children, the background child, which call
 * each task ten times a second for each database. The background child is the one that holds a lock.
 * The kernel releases the lock when that child ends, and another child takes it within a second or
 * two. */
#ifndef SF_BACKGROUND_H
#define SF_BACKGROUND_H

#include <httpd.h>

typedef struct sf_background_task sf_background_task;

/* Does the part of the task that is due. `pool` is cleared afterwards. */
typedef void sf_background_step(sf_background_task *task, apr_pool_t *pool);

/* A task for one database. A task with state of its own has this as the first member of a larger
 * struct. */
struct sf_background_task {
    server_rec *server;   /* the first virtual host with this database */
    apr_time_t next_step; /* when the task is due; the step reads and writes it. 0: at once */
};

/* A kind of task. */
typedef struct {
    const char *name; /* of its threads, for the log */
    sf_background_step *step;
    apr_size_t size; /* of a task, which begins with an sf_background_task and is 0 otherwise */
    int threads;     /* with several, they may call the step of one task at the same time */
} sf_background_kind;

/* Makes the lock, and has mod_watchdog call each child once a second, where it closes idle connections
 * to the databases and tries to take the lock. Called from post_config, before sf_background_add().
 * Returns APR_SUCCESS; APR_ENOTIMPL where mod_watchdog is not loaded; or the error of mod_watchdog, of
 * the shared memory, or of the lock's file. */
apr_status_t sf_background_init(server_rec *s, apr_pool_t *pconf);

/* Adds a task for each database of `s` and the servers after it. The threads of a kind call the steps
 * of its tasks one after another. Called from post_config. */
void sf_background_add(const sf_background_kind *kind, server_rec *s, apr_pool_t *pconf);

/* Makes the pool of this child's threads. Called from child_init. Returns APR_SUCCESS or the error of
 * the pool. */
apr_status_t sf_background_child_init(apr_pool_t *pool);

/* Waits until the steps that run now have ended, ten seconds at most, keeps others from beginning, and
 * gives up the lock. Hook child_stopping: mod_dbd ends the process by an assertion of APR where a
 * connection is in use when its pool is destroyed. */
void sf_background_stop(apr_pool_t *pool, int graceful);

/* Returns whether this child is about to end. A step that takes long asks, and comes to an end
 * then. */
int sf_background_stopping(void);

/* Tells the background child of the node that a request has left it something to do. Any child may
 * call it. */
void sf_background_wake(void);

/* Returns the number of calls of sf_background_wake() in all children. */
apr_uint32_t sf_background_wakes(void);

#endif
