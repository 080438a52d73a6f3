#include "runtime/domains/request_parts.h"

#include "core/config.h"
#include "core/http/body.h"

#include <string.h>

/* The request line may have a whole URL. */
const char *sf_request_target(const request_rec *r)
{
    const char *target = r->unparsed_uri;
    const char *authority = *target == '/' ? NULL : strstr(target, "://");

    if (authority) {
        authority += strlen("://");
        target = authority + strcspn(authority, "/?");
    }
    return target;
}

const char *sf_request_host(const sf_domain_request *request)
{
    const char *host = apr_table_get(request->r->headers_in, "Host");

    return host ? host : request->host;
}

int sf_request_read_body(sf_domain_request *request)
{
    request_rec *r = request->r;
    const sf_error *error;
    char *bytes;

    if (request->body) {
        return OK;
    }
    if (r->method_number == M_GET) { /* a HEAD, too */
        request->body = "";
        return OK;
    }
    error = sf_body_read(r, sf_config_body_limit(r), &bytes, &request->body_length);
    if (error) {
        return error->status;
    }
    request->body = bytes;
    return OK;
}
