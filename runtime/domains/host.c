#include "runtime/domains/host.h"

#include "core/config.h"

#include <apr_strings.h>
#include <string.h>

#define LABEL_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-"

/* Returns the host in lower case and without one trailing dot. */
static char *normalized(apr_pool_t *pool, const char *host)
{
    char *name = apr_pstrdup(pool, host);
    const apr_size_t length = strlen(name);

    ap_str_tolower(name);
    if (length > 0 && name[length - 1] == '.') {
        name[length - 1] = '\0';
    }
    return name;
}

/* Returns the length of the part before ".tail", or -1 where the name does not end so. */
static apr_ssize_t head_length(const char *name, const char *tail)
{
    const apr_size_t length = strlen(name);
    const apr_size_t end = strlen(tail) + 1;

    if (length < end || name[length - end] != '.' || strcmp(name + length - end + 1, tail) != 0) {
        return -1;
    }
    return (apr_ssize_t)(length - end);
}

static int is_label(const char *text, apr_size_t length)
{
    return length > 0 && length <= SF_LABEL_MAX && strspn(text, LABEL_CHARACTERS) == length
           && text[0] != '-' && text[length - 1] != '-';
}

const char *sf_host_label(apr_pool_t *pool, const char *host, const char *tail)
{
    char *name = normalized(pool, host);
    const apr_ssize_t length = head_length(name, tail);

    if (length < 0) {
        return NULL;
    }
    name[length] = '\0';
    return is_label(name, (apr_size_t)length) ? name : NULL;
}

const char *sf_host_name(request_rec *r)
{
    return r->hostname ? normalized(r->pool, r->hostname) : "";
}

int sf_host_is_domain(request_rec *r)
{
    if (!sf_config_executes(r->server)) {
        return 0;
    }
    return sf_config_environment(r->server)
           || head_length(sf_host_name(r), sf_config_server_domain(r->server)) >= 0;
}

int sf_host_key(request_rec *r, sf_route_key *key)
{
    const sf_environment_ids *fixed = sf_config_environment(r->server);
    const char *label;

    memset(key, 0, sizeof(*key));
    key->database = sf_config_database(r->server);
    if (fixed) {
        apr_cpystrn(key->service, fixed->service, sizeof(key->service));
        apr_cpystrn(key->name, fixed->environment, sizeof(key->name));
        return 1;
    }
    label = sf_host_label(r->pool, sf_host_name(r), sf_config_server_domain(r->server));
    if (label) {
        apr_cpystrn(key->name, label, sizeof(key->name));
    }
    return label != NULL;
}
