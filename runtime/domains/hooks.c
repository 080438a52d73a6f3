#include "runtime/domains/hooks.h"

#include "core/caller.h"
#include "core/config.h"
#include "core/http/request_limit.h"
#include "core/sid.h"
#include "runtime/domains/asset.h"
#include "runtime/domains/asset_cache.h"
#include "runtime/domains/call.h"
#include "runtime/domains/domain.h"
#include "runtime/domains/error_text.h"
#include "runtime/domains/host.h"
#include "runtime/domains/leases.h"
#include "runtime/domains/paths.h"
#include "runtime/domains/route.h"
#include "runtime/domains/route_table.h"
#include "runtime/domains/runner_away.h"
#include "runtime/domains/signing_secrets.h"
#include "runtime/domains/variables.h"
#include "runtime/domains/visibility.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>
#include <stdlib.h>
#include <string.h>

#define HANDLER "serverless-domain"

/* How often a route is looked up for one request whose content was deleted. Each time but the first, a
 * Build was replaced and deleted after the look-up, because this thread had to wait for a processor. */
#define MAX_LOOKUPS 5

apr_status_t sf_domains_pre_config(apr_pool_t *pconf)
{
    return sf_route_table_pre_config(pconf);
}

apr_status_t sf_domains_post_config(apr_pool_t *pconf, server_rec *s)
{
    apr_status_t rv;

    sf_asset_cache_make(s);
    rv = sf_route_table_post_config(pconf, s);
    return rv == APR_SUCCESS ? sf_runner_away_post_config(pconf) : rv;
}

apr_status_t sf_domains_child_init(apr_pool_t *pool)
{
    apr_status_t rv = sf_route_table_child_init(pool);

    if (rv == APR_SUCCESS) {
        rv = sf_paths_init(pool);
    }
    if (rv == APR_SUCCESS) {
        rv = sf_signing_secrets_init(pool);
    }
    if (rv == APR_SUCCESS) {
        rv = sf_variables_init(pool);
    }
    return rv == APR_SUCCESS ? sf_leases_init(pool) : rv;
}


void sf_domains_register(void)
{
    sf_error_text_register();
    sf_asset_register();
}

int sf_domains_own(request_rec *r)
{
    return !sf_config_serves_api(r) && sf_host_is_domain(r);
}

void sf_domains_insert_error_filter(request_rec *r)
{
    sf_error_text_insert(r);
}


/* Claiming ------------------------------------------------------------------------------------ */

/* The file name is a constant without a suffix, so that mod_mime finds no type or handler in it. */
int sf_domains_translate_name(request_rec *r)
{
    if (r->proxyreq || r->uri[0] != '/' || !sf_domains_own(r)) {
        return DECLINED;
    }
    r->handler = HANDLER;
    r->filename = apr_pstrdup(r->pool, "/domain");
    apr_table_setn(r->err_headers_out, "X-Content-Type-Options", "nosniff");
    return OK;
}

static int is_claimed(const request_rec *r)
{
    return r->handler && strcmp(r->handler, HANDLER) == 0;
}

int sf_domains_map_to_storage(request_rec *r)
{
    return is_claimed(r) ? OK : DECLINED;
}


/* Answering ----------------------------------------------------------------------------------- */

/* Counts the request among those of the Environment's account. Returns 0 where the account has too many
 * (ServerlessMaxRequestsPerAccount). */
static int count_request(const sf_domain_request *request)
{
    char account[SF_SID_LENGTH + 1];

    sf_sid_write(account, "AC", request->route.account);
    return sf_request_limit_add(request->r, account) == NULL;
}

/* Finds the Environment, its Build and the Version at the path. A path that is not there and a private
 * one are the same to a client, and so are a host that is not there and one without a Build. */
static int find_file(sf_domain_request *request, const sf_route_key *key)
{
    const sf_caller caller = sf_caller_of(request->r);
    int status = sf_route_find(request->r, key, &request->route);

    if (status != OK) {
        return status;
    }
    if (request->route.account_suspended) {
        return HTTP_FORBIDDEN;
    }
    if (!*request->route.build) {
        return HTTP_NOT_FOUND;
    }
    if (!count_request(request)) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    status = sf_paths_find(&caller, &request->route, request->r->uri, &request->file);
    return status == OK && request->file->visibility == SF_PRIVATE ? HTTP_NOT_FOUND : status;
}

/* Answers a preflight, which has no credentials and no signature, without the Function. */
static int send_options(request_rec *r)
{
    apr_table_setn(r->headers_out, "Access-Control-Allow-Origin", "*");
    apr_table_setn(r->headers_out, "Access-Control-Allow-Headers", "*");
    apr_table_setn(r->headers_out, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
    apr_table_setn(r->headers_out, "Access-Control-Max-Age", "86400");
    r->status = HTTP_NO_CONTENT;
    return OK;
}

static int has_body(const request_rec *r)
{
    const char *length = apr_table_get(r->headers_in, "Content-Length");

    return apr_table_get(r->headers_in, "Transfer-Encoding")
           || (length && strspn(length, "0") != strlen(length));
}

/* Answers a GET, HEAD or POST. httpd counts HEAD as M_GET, and makes a GET of any method for an
 * ErrorDocument, for which r->prev is the request that has failed. */
static int send_file(sf_domain_request *request)
{
    int status;

    if (request->r->method_number == M_GET && !request->r->prev && has_body(request->r)) {
        return HTTP_FORBIDDEN;
    }
    status = sf_visibility_check(request);
    if (status != OK) {
        return status;
    }
    return request->file->is_function ? sf_call_run(request) : sf_asset_send(request);
}

/* Sets a note to the SID of a uuid, unless that is empty. */
static void note_sid(request_rec *r, const char *name, const char *prefix, const char *uuid)
{
    char *sid = apr_palloc(r->pool, SF_SID_LENGTH + 1);

    if (*uuid) {
        sf_sid_write(sid, prefix, uuid);
        apr_table_setn(r->notes, name, sid);
    }
}

/* Sets the notes for the access log: the Environment and the Version, as far as they were found. */
static void set_notes(const sf_domain_request *request)
{
    note_sid(request->r, "serverless-environment", "ZE", request->route.environment);
    note_sid(request->r, "serverless-version", "ZN", request->file ? request->file->version : "");
}

static int answer(sf_domain_request *request, const sf_route_key *key)
{
    const int status = find_file(request, key);

    set_notes(request);
    if (status != OK) {
        return status;
    }
    switch (request->r->method_number) {
    case M_OPTIONS:
        return send_options(request->r);
    case M_GET:
    case M_POST:
        return send_file(request);
    default:
        ap_allow_standard_methods(request->r, REPLACE_ALLOW, M_GET, M_POST, M_OPTIONS, -1);
        return HTTP_METHOD_NOT_ALLOWED;
    }
}

/* Answers the request. Where the content was deleted, the route was an older one, which is allowed for as
 * long as its lease: the current one is read, and only then is missing content an error. */
int sf_domains_handler(request_rec *r)
{
    sf_domain_request *request;
    sf_route_key key;
    int lookups = 1;
    int status;

    if (!is_claimed(r)) {
        return DECLINED;
    }
    request = apr_pcalloc(r->pool, sizeof(*request)); /* the content that is sent refers to it */
    request->r = r;
    request->host = sf_host_name(r);
    if (!sf_host_key(r, &key)) {
        return HTTP_NOT_FOUND;
    }
    status = answer(request, &key);
    while (status == SF_DOMAIN_GONE && lookups++ < MAX_LOOKUPS) {
        sf_route_forget(&key);
        status = answer(request, &key);
    }
    return status == SF_DOMAIN_GONE ? HTTP_SERVICE_UNAVAILABLE : status;
}
