/* The hooks of httpd that answer requests to domains. mod_serverless_functions.c registers them. */
#ifndef SF_DOMAIN_HOOKS_H
#define SF_DOMAIN_HOOKS_H

#include <httpd.h>

/* Register, make and open what this folder needs. Return APR_SUCCESS or the first error. */
apr_status_t sf_domains_pre_config(apr_pool_t *pconf);
apr_status_t sf_domains_post_config(apr_pool_t *pconf, server_rec *s);
apr_status_t sf_domains_child_init(apr_pool_t *pool);

/* Registers filters. Called when hooks are registered. */
void sf_domains_register(void);

/* Whether the request is to a domain and not to a Location with the API. */
int sf_domains_own(request_rec *r);

/* Hook translate_name, after Alias, RewriteRule, ProxyPass and the API have declined: claims a request
 * to a domain. */
int sf_domains_translate_name(request_rec *r);

/* Hook map_to_storage: no file of this machine stands behind a claimed request. */
int sf_domains_map_to_storage(request_rec *r);

/* The handler of claimed requests. It declines where a SetHandler of the administrator has replaced
 * it. */
int sf_domains_handler(request_rec *r);

/* Hook insert_error_filter, where sf_domains_own() is true. */
void sf_domains_insert_error_filter(request_rec *r);

#endif
