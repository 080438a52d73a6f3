#include "core/auth/ownership_cache.h"

#include "core/cache.h"
#include "core/config.h"

#include <apr_strings.h>
#include <string.h>

/* The most pairs of a credential and a Service. */
#define ENTRIES_MAX 4096

typedef struct {
    int database;
    char credential[SF_SID_LENGTH];
    char
        generation[SF_GENERATION_LENGTH + 1]; /* "" where another provider of httpd authenticated */
    char service[SF_SID_DIGITS];
} cache_key;

static sf_cache *cache;

apr_status_t sf_ownership_cache_init(apr_pool_t *pool)
{
    return sf_cache_make(pool, sizeof(cache_key), sizeof(sf_ownership), ENTRIES_MAX, &cache);
}

/* Makes the key of a request. Returns 0 where the path names no Service by SID, or the virtual
 * host has no database. */
static int request_key(const sf_request *request, cache_key *key)
{
    memset(key, 0, sizeof(*key));
    key->database = sf_config_database(request->r->server);
    if (key->database == 0 || request->sids == 0 || request->unique_name) {
        return 0;
    }
    memcpy(key->credential, request->credential, SF_SID_LENGTH);
    if (request->generation) {
        apr_cpystrn(key->generation, request->generation, sizeof(key->generation));
    }
    memcpy(key->service, request->sid[0], SF_SID_DIGITS);
    return 1;
}

int sf_ownership_cache_find(const sf_request *request, sf_ownership *ownership)
{
    cache_key key;

    return request_key(request, &key) && sf_cache_find(cache, &key, ownership);
}

void sf_ownership_cache_keep(const sf_request *request, const sf_ownership *ownership)
{
    cache_key key;

    if (request_key(request, &key)) {
        sf_cache_keep(cache, &key, ownership);
    }
}
