/* The error value: made where the reason is known, returned upwards (NULL is success), and made
 * a response in one place (core/api/dispatch.c). */
#ifndef SF_ERROR_H
#define SF_ERROR_H

#include <httpd.h>

typedef struct {
    int status;          /* of HTTP, or AP_FILTER_ERROR where httpd has answered already */
    int code;            /* of the API */
    const char *message; /* UTF-8, for the client */
    const char *allow;   /* with 405: the value of Allow */
    const char *details; /* JSON for the client, or NULL */
} sf_error;

/* Returns from the calling function with the expression's error, if it has one. Only for functions that
 * leave nothing to be released. */
#define SF_TRY(expression)                                                                         \
    do {                                                                                           \
        const sf_error *sf_try_error = (expression);                                               \
                                                                                                   \
        if (sf_try_error) {                                                                        \
            return sf_try_error;                                                                   \
        }                                                                                          \
    } while (0)

/* An error with a message of its own. */
const sf_error *sf_error_make(apr_pool_t *pool, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* 400, with a message of its own. */
const sf_error *sf_error_bad_request(apr_pool_t *pool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* An error with the status's own message, for any status from 400 on. */
const sf_error *sf_error_of_status(apr_pool_t *pool, int status);

/* 404 for a path such as "/Services/ZS.../Functions", percent-encoded where it is not plain
 * ASCII. */
const sf_error *sf_error_not_found(apr_pool_t *pool, const char *path);

/* 405, with the value of Allow. */
const sf_error *sf_error_method(apr_pool_t *pool, const char *allow);

/* A copy of the error with details for the client, as JSON text, or NULL for none. */
const sf_error *sf_error_with_details(const sf_error *error, apr_pool_t *pool, const char *details);

/* Returns the body of the response and its length:
 * {"code":…,"message":…,"more_info":…,"status":…}, and "details" where the error has some. */
const char *sf_error_body(apr_pool_t *pool, const sf_error *error, apr_size_t *length);

/* Sets the headers of the error (Allow, Retry-After) in r->err_headers_out. */
void sf_error_headers(request_rec *r, const sf_error *error);

/* Every status that can have an ErrorDocument; ends with 0. */
extern const int sf_error_statuses[];

#endif
