/* The keys that Variables are encrypted with, from the file that ServerlessVariableKeys names. */
#ifndef SF_KEYRING_H
#define SF_KEYRING_H

#include <apr_pools.h>

#define SF_SECRET_KEY_BYTES 32 /* AES-256 */
#define SF_SECRET_KEY_ID 32    /* characters at most: letters, digits, '-' and '_' */
#define SF_SECRET_KEYS_MAX 16

typedef struct {
    char id[SF_SECRET_KEY_ID + 1];
    unsigned char bytes[SF_SECRET_KEY_BYTES];       /* encrypt and decrypt, and nothing else */
    unsigned char fingerprint[SF_SECRET_KEY_BYTES]; /* derived from them: for HMACs of values */
} sf_secret_key;

/* In the file's order: the first one encrypts, all of them decrypt. At least one. */
typedef struct sf_secret_keys {
    int count;
    sf_secret_key key[SF_SECRET_KEYS_MAX];
} sf_secret_keys;

/* Reads the file, a line for each key: its id, white space, 64 hex digits. Empty lines and those that
 * begin with '#' are none. Returns NULL and the keys, which are wiped with `pool`; or what is wrong,
 * without a word of the file: it cannot be read, somebody else might read it, or a line (named by its
 * number) is no key. */
const char *sf_secret_keys_read(apr_pool_t *pool, const char *path, const sf_secret_keys **keys);

/* The key of that id, the first `length` characters at `id`; or NULL. */
const sf_secret_key *sf_secret_keys_find(const sf_secret_keys *keys, const char *id,
                                         apr_size_t length);

#endif
