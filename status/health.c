#include "status/health.h"

#include "core/config.h"
#include "status/node.h"

#include <apr_strings.h>
#include <http_main.h>
#include <http_protocol.h>
#include <string.h>

#define HANDLER "serverless-status"

/* Answers with one word. */
static int send_word(request_rec *r, int status, const char *word)
{
    r->status = status;
    ap_set_content_type(r, "text/plain; charset=utf-8");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    ap_rprintf(r, "%s\n", word);
    return OK;
}

static int send_readiness(request_rec *r)
{
    const sf_caller caller = sf_caller_of(r);
    sf_node_state state;

    if (!sf_config_next_database(ap_server_conf)) {
        return send_word(r, HTTP_SERVICE_UNAVAILABLE, "configuration");
    }
    state = sf_node_check(&caller);
    return send_word(r, state == SF_NODE_READY ? HTTP_OK : HTTP_SERVICE_UNAVAILABLE,
                     sf_node_word(state));
}

int sf_health_handler(request_rec *r)
{
    const char *name;

    if (!r->handler || strcmp(r->handler, HANDLER) != 0) {
        return DECLINED;
    }
    name = strrchr(r->uri, '/');
    if (!name || (strcmp(name, "/ready") != 0 && strcmp(name, "/live") != 0)) {
        return HTTP_NOT_FOUND;
    }
    if (r->method_number != M_GET) {
        r->allowed = (apr_int64_t)1 << M_GET;
        return HTTP_METHOD_NOT_ALLOWED;
    }
    return strcmp(name, "/live") == 0 ? send_word(r, HTTP_OK, "live") : send_readiness(r);
}
