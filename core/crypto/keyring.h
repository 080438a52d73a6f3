/* The keys that Variables are encrypted with, from the file that ServerlessVariableKeys names. */
#ifndef SF_KEYRING_H
#define SF_KEYRING_H

#include <apr_pools.h>

#define SF_KEY_BYTES 32  /* AES-256 */
#define SF_KEY_ID_MAX 32 /* characters at most: letters, digits, '-' and '_' */
#define SF_KEYRING_MAX 16

typedef struct {
    char id[SF_KEY_ID_MAX + 1];
    unsigned char bytes[SF_KEY_BYTES];       /* encrypt and decrypt, and nothing else */
    unsigned char fingerprint[SF_KEY_BYTES]; /* derived from them: for HMACs of values */
} sf_encryption_key;

/* In the file's order: the first one encrypts, all of them decrypt. At least one. */
typedef struct sf_keyring {
    int count;
    sf_encryption_key key[SF_KEYRING_MAX];
} sf_keyring;

/* Reads the file, a line for each key: its id, white space, 64 hex digits. Empty lines and those that
 * begin with '#' are none. Returns NULL and the keys, which are wiped with `pool`; or what is wrong,
 * without a word of the file: it cannot be read, somebody else might read it, or a line (named by its
 * number) is no key. */
const char *sf_keyring_read(apr_pool_t *pool, const char *path, const sf_keyring **keys);

/* The key of that id, the first `length` characters at `id`; or NULL. */
const sf_encryption_key *sf_keyring_find(const sf_keyring *keys, const char *id, apr_size_t length);

#endif
