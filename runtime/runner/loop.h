/* The event loop: descriptors and the functions that are called when they are ready. Linux's epoll, since
 * the runner is for Linux alone. */
#ifndef SF_LOOP_H
#define SF_LOOP_H

#include <apr_errno.h>
#include <apr_pools.h>
#include <sys/epoll.h>

typedef struct sf_loop sf_loop;

/* A descriptor in a loop. Lives as long as it is watched. */
typedef struct {
    int fd;
    void (*ready)(void *data, unsigned int events); /* EPOLLIN, EPOLLOUT, ... */
    void *data;
} sf_watch;

/* Makes a loop, which is closed with the pool. Returns APR_SUCCESS or the error. */
apr_status_t sf_loop_make(apr_pool_t *pool, sf_loop **loop);

/* Returns a descriptor that can be read when a watched one is ready: a loop can be watched in another one. */
int sf_loop_descriptor(const sf_loop *loop);

/* Watches a descriptor for `events` beside EPOLLHUP and EPOLLERR. Returns APR_SUCCESS or the error. */
apr_status_t sf_loop_add(sf_loop *loop, sf_watch *watch, unsigned int events);

/* Watches for other events. */
void sf_loop_change(sf_loop *loop, sf_watch *watch, unsigned int events);

/* Ends the watch. Called before the descriptor is closed. */
void sf_loop_remove(sf_loop *loop, sf_watch *watch);

/* Waits for one event, at most `milliseconds`, and calls its function. One event at a time: a function
 * may end any watch, so that a second event of the same call could be of a watch that is gone. */
void sf_loop_run_once(sf_loop *loop, int milliseconds);

#endif
