#include "core/http/request.h"

#include "core/config.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

sf_request *sf_request_of(request_rec *r)
{
    sf_request *request = ap_get_module_config(r->request_config, &serverless_functions_module);

    if (!request) {
        request = apr_pcalloc(r->pool, sizeof(*request));
        request->r = r;
        ap_set_module_config(r->request_config, &serverless_functions_module, request);
    }
    return request;
}

const char *sf_request_path(const sf_request *request)
{
    return ap_os_escape_path(request->r->pool, request->r->uri + strlen(request->prefix), 1);
}

int sf_request_is_read(const sf_request *request)
{
    return request->r->method_number == M_GET; /* httpd counts HEAD as M_GET */
}

/* Replaces the host of uploads in a URL by the main one, so that a resource has one URL. */
static const char *main_host(apr_pool_t *pool, const char *url)
{
    static const char upload[] = "://serverless-upload.";
    const char *found = strstr(url, upload);

    return found ? apr_pstrcat(pool, apr_pstrmemdup(pool, url, (apr_size_t)(found - url)),
                               "://serverless.", found + sizeof(upload) - 1, NULL)
                 : url;
}

/* Returns the URL of a path as the client knows it: with the Host header as received, also if it
 * names no port and the server listens on an unusual one. Without that header, or with
 * UseCanonicalName, httpd makes the URL. */
static const char *client_url(request_rec *r, const char *path)
{
    const char *host = ap_get_server_name(r);
    const char *port = r->parsed_uri.port_str;

    if (!r->hostname || host != r->hostname) {
        return ap_construct_url(r->pool, path, r);
    }
    if (strchr(host, ':')) { /* an IPv6 address */
        host = apr_pstrcat(r->pool, "[", host, "]", NULL);
    }
    return apr_pstrcat(r->pool, ap_http_scheme(r), "://", host, port ? ":" : "", port ? port : "",
                       path, NULL);
}

const char *sf_request_base_url(const sf_request *request)
{
    apr_pool_t *pool = request->r->pool;
    const char *fixed = sf_config_base_url(request->r);

    if (fixed) {
        return apr_pstrcat(pool, fixed, request->prefix, NULL);
    }
    return main_host(pool, client_url(request->r, request->prefix));
}
