/* Host names: which requests are to a domain, and which Environment they name. */
#ifndef SF_HOST_H
#define SF_HOST_H

#include "core/sid.h"

#include <httpd.h>

#define SF_LABEL_MAX 63

/* The room for a name in a key, which leaves the key without padding: it is hashed as bytes. */
#define SF_ROUTE_NAME_BYTES 67

/* The key of a route. Unused bytes are 0. */
typedef struct {
    int database;                    /* sf_config_database() */
    char service[SF_SID_DIGITS + 1]; /* "" where `name` is the label of a domain */
    char name[SF_ROUTE_NAME_BYTES];  /* the label, or the digits of the Environment's SID */
} sf_route_key;

/* Returns the label of a domain directly below `tail`, in lower case, or NULL: `host` is not below
 * the tail, or has more labels than one before it, or the label is not valid. `host` may have capital
 * letters and one trailing dot. */
const char *sf_host_label(apr_pool_t *pool, const char *host, const char *tail);

/* Whether the request is to a domain: its virtual host has ServerlessExecution, and either
 * ServerlessEnvironment or a Host below ServerlessDomain. */
int sf_host_is_domain(request_rec *r);

/* Returns the host of a request to a domain, in lower case, without port and trailing dot. */
const char *sf_host_name(request_rec *r);

/* Finds the key of the Environment that a request to a domain names. Returns 0 where the name is
 * none that a domain can have; it costs no look-up then. */
int sf_host_key(request_rec *r, sf_route_key *key);

#endif
