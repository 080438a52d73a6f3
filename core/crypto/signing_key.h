/* Signing keys: a secret of an account, from which the signing token of each of its Services is derived. The
 * token of one Service reveals neither the key nor the token of another Service. Needs no httpd. */
#ifndef SF_SIGNING_KEY_H
#define SF_SIGNING_KEY_H

#include "core/crypto/sealed.h"

#define SF_SIGNING_KEY_BYTES 32
#define SF_SIGNING_KEY_DIGITS (2 * SF_SIGNING_KEY_BYTES)
#define SF_SIGNING_TOKEN_DIGITS 32

/* Writes the context that the key `id` of an account is sealed with (sealed.h): "AC.../SG...". Both arguments
 * are uuids, with or without hyphens. */
void sf_signing_key_context(char to[SF_SECRET_CONTEXT], const char *account, const char *id);

/* Makes a random key, as hex digits. Returns 0 where OpenSSL fails. */
int sf_signing_key_make(char key[SF_SIGNING_KEY_DIGITS + 1]);

/* Derives the signing token of a Service (a uuid, with or without hyphens), as hex digits. Returns 0 where
 * `key` is no key or OpenSSL fails. */
int sf_signing_key_token(const char *key, const char *service,
                         char token[SF_SIGNING_TOKEN_DIGITS + 1]);

#endif
