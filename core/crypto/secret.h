/* The encryption of Variables with the server's keys. A value is bound to its Variable by a context, and
 * cannot be decrypted as the value of another Variable. */
#ifndef SF_SECRET_H
#define SF_SECRET_H

#include "core/caller.h"
#include "core/crypto/sealed.h"
#include "core/error.h"

/* Writes the context of a Variable in an Environment: "ZE.../ZV...". Both arguments are uuids,
 * with or without hyphens. */
void sf_secret_context(char to[SF_SECRET_CONTEXT], const char *environment, const char *variable);

/* Returns NULL, or 503 where the server has no keys. */
const sf_error *sf_secret_available(const sf_caller *caller);

/* Encrypts `text` (at most SF_SECRET_MAX bytes) with the first key. Returns NULL and the value
 * as the database stores it (sealed.h). Or returns an error: 503 where the server has no keys,
 * 500 where OpenSSL fails, which has been logged. */
const sf_error *sf_secret_seal(const sf_caller *caller, const char *context, const char *text,
                               const char **sealed);

/* Decrypts a stored value. Returns NULL and the text, which the caller wipes; or an error: 503
 * where the server has no keys; 500 where it lacks the value's key, or the bytes were not
 * encrypted for this context, which has been logged with the Variable and the key's id. */
const sf_error *sf_secret_open(const sf_caller *caller, const char *context, const char *sealed,
                               char text[SF_SECRET_MAX + 1]);

/* Returns NULL and an HMAC of `text` in hex. Its key is derived from the first key: without the
 * key, texts cannot be compared with the HMAC. Or returns an error: 503 where the server has no
 * keys, 500 where OpenSSL fails, which has been logged. */
const sf_error *sf_secret_fingerprint(const sf_caller *caller, const char *text, const char **hash);

#endif
