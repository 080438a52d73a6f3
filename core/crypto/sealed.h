/* Sealed values: encrypted with AES-256-GCM under a random nonce, as text for the database. A value is bound
 * to a context, and cannot be opened with another one. README.md has the format. Logs nothing, and needs no
 * httpd. */
#ifndef SF_SEALED_H
#define SF_SEALED_H

#include "core/crypto/keyring.h"
#include "core/sid.h"

#define SF_SECRET_MAX 450 /* bytes of a value */

/* Bytes of a context, two SIDs with '/' between, its NUL included. */
#define SF_SECRET_CONTEXT (2 * SF_SID_LENGTH + 2)

/* Encrypts `text`. Returns the key's id, ':', and in hex the nonce (12 bytes), the ciphertext and the tag (16
 * bytes); or NULL where `text` has more than SF_SECRET_MAX bytes or OpenSSL fails. */
const char *sf_sealed_make(apr_pool_t *pool, const sf_encryption_key *key, const char *context,
                           const char *text);

/* Decrypts a sealed value. Returns NULL and the text, which the caller wipes; or an error message for the log:
 * the keyring lacks the value's key, or the bytes were not encrypted for this context. */
const char *sf_sealed_open(const sf_keyring *keys, const char *context, const char *sealed,
                           char text[SF_SECRET_MAX + 1]);

#endif
