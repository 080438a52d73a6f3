/* One request to the domain of an Environment: the types that the files of this folder share. */
#ifndef SF_DOMAIN_H
#define SF_DOMAIN_H

#include "core/sid.h"

#include <httpd.h>

/* An Environment's row, as far as it decides about a request to its domain: from the leased table
 * (route.h). Ids are uuids as PostgreSQL prints them. */
typedef struct {
    char environment[SF_UUID_LENGTH + 1];
    char service[SF_UUID_LENGTH + 1];
    char account[SF_UUID_LENGTH + 1];
    char build[SF_UUID_LENGTH + 1];       /* "" where no Build is deployed */
    char deployment[SF_UUID_LENGTH + 1];  /* the last one, or "" */
    char context_tag[SF_UUID_LENGTH + 1]; /* renewed when a Variable changes */
    int account_suspended;
    int include_credentials;
} sf_route;

typedef enum { SF_PUBLIC, SF_PROTECTED, SF_PRIVATE } sf_visibility;

/* A Version at a path of a Build. It never changes. */
typedef struct {
    const char *path;
    const char *version;  /* a uuid */
    const char *artifact; /* the uuid of its Function or Asset */
    int is_function;
    sf_visibility visibility;
    const char *sha256; /* of the content, in hex */
    apr_off_t size;     /* of the content, in bytes */
    const char *content_type;
    apr_time_t date;     /* of creation */
    const char *runtime; /* of the Build, as "node20" */
} sf_build_file;

/* A request to a domain. */
typedef struct sf_domain_request {
    request_rec *r;
    const char *host; /* as called: lower case, without port and trailing dot */
    sf_route route;
    const sf_build_file *file;
    const char *body; /* NULL until it has been read (visibility.h) */
    apr_size_t body_length;
} sf_domain_request;

/* A status that no answer has: the content of a Build was deleted, because the Build is no longer
 * deployed. The route is read again. */
#define SF_DOMAIN_GONE (-1000)

#endif
