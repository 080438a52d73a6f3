#include "core/auth/password_cache.h"

#include "core/cache.h"

#include <apr_siphash.h>
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

/* The most credentials. */
#define ENTRIES_MAX 1024

/* The database is a part of the key: one database may be a copy of another, with the same SIDs. */
typedef struct {
    int database;
    char credential[SF_SID_LENGTH];
} cache_key;

/* A password's hash under two keys that only this child has. 128 bits of SipHash tell passwords
 * apart as well as SHA-256 does here, and cost each request less. */
typedef struct {
    apr_uint64_t halves[2];
} fingerprint;

typedef struct {
    fingerprint hash;
    sf_known_credential known;
} entry;

static sf_cache *cache;
static unsigned char keys[2][APR_SIPHASH_KSIZE];

apr_status_t sf_password_cache_init(apr_pool_t *pool)
{
    return RAND_bytes(keys[0], sizeof(keys)) == 1
               ? sf_cache_make(pool, sizeof(cache_key), sizeof(entry), ENTRIES_MAX, &cache)
               : APR_EGENERAL;
}

static cache_key credential_key(int database, const char *credential)
{
    cache_key key;

    memset(&key, 0, sizeof(key));
    key.database = database;
    memcpy(key.credential, credential, SF_SID_LENGTH);
    return key;
}

static fingerprint fingerprint_of(const char *password)
{
    const apr_size_t length = strlen(password);

    return (fingerprint){ { apr_siphash24(password, length, keys[0]),
                            apr_siphash24(password, length, keys[1]) } };
}

int sf_password_cache_find(int database, const char *credential, const char *password,
                           sf_known_credential *known)
{
    const cache_key key = credential_key(database, credential);
    const fingerprint given = fingerprint_of(password);
    entry found;

    if (!sf_cache_find(cache, &key, &found)
        || CRYPTO_memcmp(&found.hash, &given, sizeof(given)) != 0) {
        return 0;
    }
    *known = found.known;
    return 1;
}

void sf_password_cache_keep(int database, const char *credential, const char *password,
                            const sf_known_credential *known)
{
    const cache_key key = credential_key(database, credential);
    const entry kept = { .hash = fingerprint_of(password), .known = *known };

    sf_cache_keep(cache, &key, &kept);
}
