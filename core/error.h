/* One value for everything that goes wrong: made where the reason is known, handed up as the return
 * value (NULL is success), and turned into a response in one place. */
#ifndef SF_ERROR_H
#define SF_ERROR_H

#include <httpd.h>

typedef struct {
    int status;          /* HTTP's, or AP_FILTER_ERROR where httpd has answered already */
    int code;            /* the API's */
    const char *message; /* UTF-8, for the client */
    const char *allow;   /* with 405: the value of Allow */
    const char *details; /* JSON for the client, or NULL */
} sf_error;

/* An error with a message of its own. */
const sf_error *sf_error_make(apr_pool_t *pool, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* 400, with a message of its own. */
const sf_error *sf_error_bad_request(apr_pool_t *pool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The error that a status alone tells; any status from 400 on. */
const sf_error *sf_error_of_status(apr_pool_t *pool, int status);

/* 404 for a path, as "/Services/ZS.../Functions": percent-encoded where it is not plain ASCII. */
const sf_error *sf_error_not_found(apr_pool_t *pool, const char *path);

/* 405, with the methods that are allowed as the header wants them. */
const sf_error *sf_error_method(apr_pool_t *pool, const char *allow);

/* The error with details for the client, JSON text (or NULL for none). */
const sf_error *sf_error_with_details(const sf_error *error, apr_pool_t *pool, const char *details);

/* The body: {"code":…,"message":…,"more_info":…,"status":…}, and "details" where
 * there are any; its length goes to `length`. */
const char *sf_error_body(apr_pool_t *pool, const sf_error *error, apr_size_t *length);

/* The headers that belong to an error (Allow, Retry-After), into r->err_headers_out. */
void sf_error_headers(request_rec *r, const sf_error *error);

/* Every status for which an ErrorDocument could stand; ends with 0. */
extern const int sf_error_statuses[];

#endif
