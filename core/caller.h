/* On whose behalf something runs: a request, or httpd itself where `r` is NULL. */
#ifndef SF_CALLER_H
#define SF_CALLER_H

#include <httpd.h>

typedef struct {
    apr_pool_t *pool; /* what is made lives as long as this */
    server_rec *server;
    request_rec *r;
} sf_caller;

#endif
