#include "runtime/runner/loop.h"

#include <errno.h>
#include <unistd.h>

struct sf_loop {
    int fd;
};

static apr_status_t close_loop(void *data)
{
    close(((sf_loop *)data)->fd);
    return APR_SUCCESS;
}

apr_status_t sf_loop_make(apr_pool_t *pool, sf_loop **loop)
{
    *loop = apr_palloc(pool, sizeof(**loop));
    (*loop)->fd = epoll_create1(EPOLL_CLOEXEC);
    if ((*loop)->fd < 0) {
        return errno;
    }
    apr_pool_cleanup_register(pool, *loop, close_loop, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

int sf_loop_descriptor(const sf_loop *loop)
{
    return loop->fd;
}

apr_status_t sf_loop_add(sf_loop *loop, sf_watch *watch, unsigned int events)
{
    struct epoll_event event = { .events = events, .data.ptr = watch };

    return epoll_ctl(loop->fd, EPOLL_CTL_ADD, watch->fd, &event) == 0 ? APR_SUCCESS : errno;
}

void sf_loop_change(sf_loop *loop, sf_watch *watch, unsigned int events)
{
    struct epoll_event event = { .events = events, .data.ptr = watch };

    epoll_ctl(loop->fd, EPOLL_CTL_MOD, watch->fd, &event);
}

void sf_loop_remove(sf_loop *loop, sf_watch *watch)
{
    epoll_ctl(loop->fd, EPOLL_CTL_DEL, watch->fd, NULL);
}

void sf_loop_run_once(sf_loop *loop, int milliseconds)
{
    struct epoll_event event;
    const sf_watch *watch;

    if (epoll_wait(loop->fd, &event, 1, milliseconds) == 1) {
        watch = event.data.ptr;
        watch->ready(watch->data, event.events);
    }
}
