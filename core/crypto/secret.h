/* A Variable's value as it is stored: encrypted with AES-256-GCM under a random nonce, and bound to
 * its Variable, so that it decrypts nowhere else. */
#ifndef SF_SECRET_H
#define SF_SECRET_H

#include "core/caller.h"
#include "core/crypto/keyring.h"
#include "core/error.h"
#include "core/sid.h"

#define SF_SECRET_MAX 450 /* bytes of a value */

/* Room for what a value is bound to, and a NUL. */
#define SF_SECRET_CONTEXT (2 * SF_SID_LENGTH + 2)

/* Writes what the value of a Variable in an Environment (both as uuids, with or without hyphens) is
 * bound to: "ZE.../ZV...". */
void sf_secret_context(char to[SF_SECRET_CONTEXT], const char *environment, const char *variable);

/* NULL, or 503 where the server has no keys. */
const sf_error *sf_secret_available(const sf_caller *caller);

/* Encrypts `text` (at most SF_SECRET_MAX bytes) with the first key. Returns NULL and what the database
 * takes: the key's id, ':', and in hex the nonce (12 bytes), the ciphertext and the tag (16 bytes); or
 * an error: 503 where the server has no keys, 500 where OpenSSL fails, which has been logged. */
const sf_error *sf_secret_seal(const sf_caller *caller, const char *context, const char *text,
                               const char **sealed);

/* Decrypts that again. Returns NULL and the text, which the caller wipes; or an error: 503 where the
 * server has no keys, 500 where it does not have this one, or the bytes are not those that were
 * written for this context, which has been logged with context and key id. */
const sf_error *sf_secret_open(const sf_caller *caller, const char *context, const char *sealed,
                               char text[SF_SECRET_MAX + 1]);

/* The same for those who find out for themselves what a failure means: NULL or what is wrong, nothing
 * is logged. */
const char *sf_secret_try(const sf_keyring *keys, const char *context, const char *sealed,
                          char text[SF_SECRET_MAX + 1]);

/* Returns NULL and a hash of `text` in hex that only the holder of the first key can make, or try texts
 * against; or an error: 503 where the server has no keys, 500 where OpenSSL fails, which has been
 * logged. */
const sf_error *sf_secret_fingerprint(const sf_caller *caller, const char *text, const char **hash);

#endif
