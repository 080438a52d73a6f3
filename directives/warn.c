#include "directives/warn.h"

#include "core/config_fields.h"
#include "directives/tree.h"

#include <ap_listen.h>
#include <apr_network_io.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <string.h>

/* Names the module's slot in httpd's configuration vectors. */
extern module AP_MODULE_DECLARE_DATA serverless_functions_module;

APLOG_USE_MODULE(serverless_functions);

static void warn(const server_rec *s, const char *number, const char *text)
{
    ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_WARNING, 0, s, "%s: %s%s%s", number, text,
                 s->is_virtual ? " in the virtual host " : "",
                 s->is_virtual ? s->server_hostname : "");
}

/* Whether one of the server's own sections has the API. */
static int has_own_api(const server_rec *s)
{
    return sf_config_has_api(s) && sf_tree_find(sf_tree_of(s), "ServerlessFunctions");
}


/* Authentication -------------------------------------------------------------------------------- */

/* Whether the server or, for a virtual host, the main server has a directive of this name. */
static const ap_directive_t *find_anywhere(const server_rec *s, const char *name)
{
    const ap_directive_t *own = sf_tree_find(sf_tree_of(s), name);

    return own ? own : sf_tree_find(ap_conftree, name);
}

static void warn_of_authentication(const server_rec *s)
{
    const ap_directive_t *type = find_anywhere(s, "AuthType");

    if (!type) {
        warn(s, "SF0102",
             "the API has no authentication, and refuses every request: add AuthType Basic, "
             "AuthName, "
             "AuthBasicProvider serverless and Require valid-user to its <Location>");
    }
    else if (ap_cstr_casecmpn(type->args, "Basic", 5) == 0
             && !find_anywhere(s, "AuthBasicProvider")) {
        warn(s, "SF0101",
             "AuthType Basic has no AuthBasicProvider, and asks httpd's file of passwords: add "
             "AuthBasicProvider serverless to the API's <Location>");
    }
}


/* Plain http ------------------------------------------------------------------------------------ */

static int is_loopback(apr_sockaddr_t *address)
{
    char ip[64];

    return apr_sockaddr_ip_getbuf(ip, sizeof(ip), address) == APR_SUCCESS
           && (strncmp(ip, "127.", 4) == 0 || strcmp(ip, "::1") == 0);
}

/* Whether the server takes the requests of this listener. */
static int takes(const server_rec *s, const ap_listen_rec *listener)
{
    const server_addr_rec *address;

    for (address = s->is_virtual ? s->addrs : NULL; address; address = address->next) {
        if ((address->host_port == 0 || address->host_port == listener->bind_addr->port)
            && !is_loopback(address->host_addr)) {
            return 1;
        }
    }
    return !s->is_virtual;
}

/* Returns a listener that is no loopback address and not TLS, and that leads to the server; or NULL. */
static const ap_listen_rec *plain_listener(const server_rec *s)
{
    const ap_listen_rec *listener;

    for (listener = ap_listeners; listener; listener = listener->next) {
        const int is_tls = listener->protocol && strcmp(listener->protocol, "https") == 0;

        if (!is_tls && !is_loopback(listener->bind_addr) && takes(s, listener)) {
            return listener;
        }
    }
    return NULL;
}

static int has_tls(apr_pool_t *pool, const server_rec *s)
{
    const char *engine = sf_tree_argument(pool, sf_tree_of(s), "SSLEngine",
                                          sf_tree_argument(pool, ap_conftree, "SSLEngine", "Off"));

    return ap_cstr_casecmp(engine, "Off") != 0;
}

static void warn_of_plain_http(apr_pool_t *pool, const server_rec *s)
{
    const ap_directive_t *base_url = find_anywhere(s, "ServerlessBaseURL");
    const int is_proxied = (s->server_scheme && strcmp(s->server_scheme, "https") == 0)
                           || (base_url && strstr(base_url->args, "https://"));
    const ap_listen_rec *listener = plain_listener(s);

    if (listener && !is_proxied && !has_tls(pool, s)) {
        warn(s, "SF0103",
             apr_psprintf(
                 pool,
                 "the API is served over plain http at port %d, and its credentials can be read on "
                 "the way: add SSLEngine on or, behind a proxy that ends TLS, ServerName "
                 "https://NAME",
                 listener->bind_addr->port));
    }
}


/* URLs ------------------------------------------------------------------------------------------ */

static const sf_dir_config *config_of(const ap_conf_vector_t *section)
{
    return ap_get_module_config(section, &serverless_functions_module);
}

static int ends_with(const char *text, const char *end)
{
    const apr_size_t length = strlen(text);
    const apr_size_t tail = strlen(end);

    return tail > 0 && length >= tail && strcmp(text + length - tail, end) == 0;
}

/* Checks the <Location>s of a server, in which httpd keeps those of the main server, too. */
static void warn_of_base_url(apr_pool_t *pool, const server_rec *s)
{
    const core_server_config *core = ap_get_core_module_config(s->module_config);
    const char *inherited = config_of(s->lookup_defaults)->base_url;
    int i;

    for (i = 0; i < core->sec_url->nelts; i++) {
        const sf_dir_config *own = config_of(APR_ARRAY_IDX(core->sec_url, i, ap_conf_vector_t *));
        const char *url = own && own->base_url ? own->base_url : inherited;

        if (own && own->enabled == 1 && url && ends_with(url, own->prefix)) {
            warn(s, "SF0104",
                 apr_psprintf(pool,
                              "ServerlessBaseURL %s ends with the path \"%s\", which URLs in "
                              "answers have twice "
                              "then: leave it out",
                              url, own->prefix));
        }
    }
}

void sf_warn_of_api(apr_pool_t *pool, server_rec *s)
{
    if (has_own_api(s)) {
        warn_of_authentication(s);
        warn_of_plain_http(pool, s);
        warn_of_base_url(pool, s);
    }
}


/* Databases ------------------------------------------------------------------------------------- */

static const char *place_of(apr_pool_t *pool, const ap_directive_t *directive)
{
    return apr_psprintf(pool, "%s:%d", directive->filename, directive->line_num);
}

/* Returns a directive DBDParams of the server config with other arguments than `last`, or NULL. */
static const ap_directive_t *other_params(const ap_directive_t *last)
{
    const ap_directive_t *node;

    for (node = ap_conftree; node; node = node->next) {
        if (ap_cstr_casecmp(node->directive, last->directive) == 0
            && strcmp(node->args, last->args) != 0) {
            return node;
        }
    }
    return NULL;
}

/* Whether the file of this directive also defines a virtual host with the API, and not that of `s`. */
static int is_of_other_site(const ap_directive_t *directive, server_rec *main_server,
                            const server_rec *s)
{
    const server_rec *other;

    if (strcmp(directive->filename, s->defn_name) == 0) {
        return 0;
    }
    for (other = main_server->next; other; other = other->next) {
        if (has_own_api(other) && other->defn_name
            && strcmp(directive->filename, other->defn_name) == 0) {
            return 1;
        }
    }
    return 0;
}

void sf_warn_of_shared_databases(apr_pool_t *pool, server_rec *main_server)
{
    const ap_directive_t *last = sf_tree_last(ap_conftree, "DBDParams");
    const ap_directive_t *other = last ? other_params(last) : NULL;
    const server_rec *s;

    for (s = main_server->next; last && s; s = s->next) {
        if (!has_own_api(s) || !s->defn_name || sf_tree_last(sf_tree_of(s), "DBDParams")) {
            continue;
        }
        if (other || is_of_other_site(last, main_server, s)) {
            warn(s, "SF0100",
                 apr_psprintf(pool,
                              "the API has no DBDParams of its own and uses the database of "
                              "%s%s%s: write DBDriver "
                              "and DBDParams into the <VirtualHost>",
                              place_of(pool, last), other ? ", not that of " : "",
                              other ? place_of(pool, other) : ""));
        }
    }
}
