#include "core/error.h"

#include "core/json.h"
#include "core/json_text.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <stdarg.h>

#define MORE_INFO "https://www.twilio.com/docs/errors/"

/* Seconds: as long as a quick restart of PostgreSQL takes. */
#define RETRY_AFTER "1"

/* The messages for a status alone. The wording of 401 and 405 is that of the hosted API. */
static const struct {
    int status;
    const char *message;
} generic[] = {
    { HTTP_BAD_REQUEST, "The request is malformed" },
    { HTTP_UNAUTHORIZED, "Authenticate" },
    { HTTP_FORBIDDEN, "Access is forbidden" },
    { HTTP_NOT_FOUND, "The requested resource was not found" },
    { HTTP_METHOD_NOT_ALLOWED, "Method not allowed" },
    { HTTP_REQUEST_TIME_OUT, "The request was not received in time" },
    { HTTP_PRECONDITION_FAILED, "The resource is not in the state that the request expects" },
    { HTTP_REQUEST_ENTITY_TOO_LARGE, "The request body is too large" },
    { HTTP_REQUEST_URI_TOO_LARGE, "The URL is too long" },
    { HTTP_UNSUPPORTED_MEDIA_TYPE, "The content type must be application/x-www-form-urlencoded" },
    { HTTP_INTERNAL_SERVER_ERROR, "An internal error occurred" },
    { HTTP_SERVICE_UNAVAILABLE, "The service is temporarily unavailable" },
};

const int sf_error_statuses[] = { 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414,
                                  415, 416, 417, 421, 422, 423, 424, 426, 428, 429, 431, 451, 500,
                                  501, 502, 503, 504, 505, 506, 507, 508, 510, 511, 0 };

static int code_of(int status)
{
    switch (status) {
    case HTTP_BAD_REQUEST:
        return 20001;
    case HTTP_UNAUTHORIZED:
        return 20003;
    case HTTP_METHOD_NOT_ALLOWED:
        return 20004;
    default:
        return 20000 + status;
    }
}

static sf_error *make_error(apr_pool_t *pool, int status, const char *message)
{
    sf_error *error = apr_pcalloc(pool, sizeof(*error));

    error->status = status;
    error->code = code_of(status);
    error->message = message;
    return error;
}

const sf_error *sf_error_make(apr_pool_t *pool, int status, const char *format, ...)
{
    va_list arguments;
    const char *message;

    va_start(arguments, format);
    message = apr_pvsprintf(pool, format, arguments);
    va_end(arguments);
    return make_error(pool, status, message);
}

const sf_error *sf_error_bad_request(apr_pool_t *pool, const char *format, ...)
{
    va_list arguments;
    const char *message;

    va_start(arguments, format);
    message = apr_pvsprintf(pool, format, arguments);
    va_end(arguments);
    return make_error(pool, HTTP_BAD_REQUEST, message);
}

const sf_error *sf_error_of_status(apr_pool_t *pool, int status)
{
    const char *line;
    apr_size_t i;

    for (i = 0; i < sizeof(generic) / sizeof(*generic); i++) {
        if (generic[i].status == status) {
            return make_error(pool, status, generic[i].message);
        }
    }
    line = ap_get_status_line(status);
    return make_error(pool, status, apr_pstrdup(pool, line + sizeof("500")));
}

const sf_error *sf_error_not_found(apr_pool_t *pool, const char *path)
{
    return sf_error_make(pool, HTTP_NOT_FOUND, "The requested resource %s was not found", path);
}

const sf_error *sf_error_method(apr_pool_t *pool, const char *allow)
{
    sf_error *error = make_error(pool, HTTP_METHOD_NOT_ALLOWED, "Method not allowed");

    error->allow = allow;
    return error;
}

const sf_error *sf_error_with_details(const sf_error *error, apr_pool_t *pool, const char *details)
{
    sf_error *copy = apr_pmemdup(pool, error, sizeof(*error));

    copy->details = details;
    return copy;
}

const char *sf_error_body(apr_pool_t *pool, const sf_error *error, apr_size_t *length)
{
    json_object *body = sf_json_object(pool);

    sf_json_add(body, "code", json_object_new_int(error->code));
    sf_json_add(body, "message", json_object_new_string(error->message));
    sf_json_add(body, "more_info",
                json_object_new_string(apr_psprintf(pool, MORE_INFO "%d", error->code)));
    sf_json_add(body, "status", json_object_new_int(error->status));
    if (error->details) {
        sf_json_add(body, "details", sf_json_raw(sf_json_compact(pool, error->details, NULL)));
    }
    return sf_json_text(body, length);
}

void sf_error_headers(request_rec *r, const sf_error *error)
{
    if (error->allow) {
        apr_table_setn(r->err_headers_out, "Allow", error->allow);
    }
    if (error->status == HTTP_SERVICE_UNAVAILABLE) {
        apr_table_setn(r->err_headers_out, "Retry-After", RETRY_AFTER);
    }
}
