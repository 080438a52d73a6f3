/* The keyring: the keys that encrypt Variables, from the file that ServerlessVariableKeys names. */
#ifndef SF_KEYRING_H
#define SF_KEYRING_H

#include <apr_pools.h>

#define SF_KEY_BYTES 32  /* AES-256 */
#define SF_KEY_ID_MAX 32 /* characters at most: letters, digits, '-' and '_' */
#define SF_KEYRING_MAX 16

typedef struct {
    char id[SF_KEY_ID_MAX + 1];
    unsigned char bytes[SF_KEY_BYTES];       /* only for encryption and decryption */
    unsigned char fingerprint[SF_KEY_BYTES]; /* derived from `bytes`, for HMACs of values */
} sf_encryption_key;

/* At least one key, in the file's order: the first encrypts, all of them decrypt. */
typedef struct sf_keyring {
    int count;
    sf_encryption_key key[SF_KEYRING_MAX];
} sf_keyring;

/* Reads the file, which has a line for each key: id, white space, 64 hex digits. Empty lines and
 * lines that begin with '#' are skipped. Returns NULL and the keys, which are wiped with `pool`;
 * or an error message, which quotes nothing of the file: the file cannot be read, other users
 * may read it, or a line (named by its number) is not a key. */
const char *sf_keyring_read(apr_pool_t *pool, const char *path, const sf_keyring **keys);

/* Returns the key with the id of `length` characters at `id`, or NULL. */
const sf_encryption_key *sf_keyring_find(const sf_keyring *keys, const char *id, apr_size_t length);

#endif
