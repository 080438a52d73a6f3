#include "core/http/cors.h"

#include "core/config.h"
#include "core/http/body.h"
#include "core/http/request.h"

#include <http_protocol.h>
#include <string.h>

/* Two hours, the most that Chromium keeps a preflight for. */
#define MAX_AGE "7200"

/* The values begin with those of the hosted API; behind them are the headers that this server
 * adds. */
static const struct {
    const char *name;
    const char *value;
} headers[] = {
    { "Access-Control-Allow-Credentials", "true" },
    { "Access-Control-Allow-Headers",
      "Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Match, "
      "If-Unmodified-Since, Idempotency-Key, If-Range, Range" },
    { "Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS" },
    { "Access-Control-Expose-Headers",
      "ETag, Accept-Ranges, Allow, Content-Range, Idempotent-Replayed, Location, Retry-After, "
      "Twilio-Request-Id" },
};

/* Returns the Location's origins, or NULL where it has none or does not serve the API. */
static const apr_array_header_t *origins_of(const request_rec *r)
{
    return sf_config_serves_api(r) ? sf_config_cors_origins(r) : NULL;
}

/* Returns the request's Origin if it is one of the Location's, else NULL. */
static const char *allowed_origin(const request_rec *r)
{
    const apr_array_header_t *origins = origins_of(r);
    const char *origin = apr_table_get(r->headers_in, "Origin");
    int i;

    for (i = 0; origin && origins && i < origins->nelts; i++) {
        if (strcmp(origin, APR_ARRAY_IDX(origins, i, const char *)) == 0) {
            return origin;
        }
    }
    return NULL;
}

void sf_cors_add_headers(request_rec *r)
{
    const char *origin = allowed_origin(r);
    apr_size_t i;

    if (origins_of(r)) {
        apr_table_mergen(r->err_headers_out, "Vary", "Origin"); /* httpd removes a repeated value */
    }
    if (origin) {
        apr_table_setn(r->err_headers_out, "Access-Control-Allow-Origin", origin);
        for (i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
            apr_table_setn(r->err_headers_out, headers[i].name, headers[i].value);
        }
    }
}

int sf_cors_answer_preflight(request_rec *r)
{
    if (r->method_number != M_OPTIONS || !sf_request_of(r)->claimed
        || !apr_table_get(r->headers_in, "Access-Control-Request-Method") || !allowed_origin(r)) {
        return DECLINED;
    }
    apr_table_setn(r->err_headers_out, "Access-Control-Max-Age", MAX_AGE);
    sf_body_skip(r);
    return HTTP_NO_CONTENT;
}
