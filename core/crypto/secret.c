#include "core/crypto/secret.h"

#include "core/config.h"
#include "core/log.h"

#include <apr_encode.h>
#include <apr_strings.h>
#include <http_log.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

void sf_secret_context(char to[SF_SECRET_CONTEXT], const char *environment, const char *variable)
{
    char *end = sf_sid_write(to, "ZE", environment);

    *end++ = '/';
    sf_sid_write(end, "ZV", variable);
}


/* Stored values ------------------------------------------------------------------------------- */

/* Returns the error for a failure of OpenSSL, and logs it. */
static const sf_error *openssl_failed(const sf_caller *caller, const char *to)
{
    ERR_clear_error();
    sf_log(caller, APLOG_ERR, "SF0020", "OpenSSL cannot %s the value of a Variable", to);
    return sf_error_of_status(caller->pool, HTTP_INTERNAL_SERVER_ERROR);
}

const sf_error *sf_secret_available(const sf_caller *caller)
{
    return sf_config_variable_keys() ? NULL
                                     : sf_error_make(caller->pool, HTTP_SERVICE_UNAVAILABLE,
                                                     "This server is not set up to keep Variables");
}

const sf_error *sf_secret_seal(const sf_caller *caller, const char *context, const char *text,
                               const char **sealed)
{
    const sf_keyring *keys = sf_config_variable_keys();

    if (!keys) {
        return sf_secret_available(caller);
    }
    *sealed = sf_sealed_make(caller->pool, &keys->key[0], context, text);
    return *sealed ? NULL : openssl_failed(caller, "encrypt");
}

const sf_error *sf_secret_fingerprint(const sf_caller *caller, const char *text, const char **hash)
{
    const sf_keyring *keys = sf_config_variable_keys();
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length;

    if (!keys) {
        return sf_secret_available(caller);
    }
    if (!HMAC(EVP_sha256(), keys->key[0].fingerprint, SF_KEY_BYTES, (const unsigned char *)text,
              strlen(text), digest, &length)) {
        return openssl_failed(caller, "hash");
    }
    *hash = apr_pencode_base16_binary(caller->pool, digest, length, APR_ENCODE_LOWER, NULL);
    return NULL;
}

const sf_error *sf_secret_open(const sf_caller *caller, const char *context, const char *sealed,
                               char text[SF_SECRET_MAX + 1])
{
    const sf_keyring *keys = sf_config_variable_keys();
    const char *message;

    if (!keys) {
        return sf_secret_available(caller);
    }
    message = sf_sealed_open(keys, context, sealed, text);
    if (!message) {
        return NULL;
    }
    sf_log(caller, APLOG_ERR, "SF0018", "Variable %s, key \"%.*s\": cannot be decrypted: %s",
           strchr(context, '/') + 1, (int)strcspn(sealed, ":"), sealed, message);
    return sf_error_of_status(caller->pool, HTTP_INTERNAL_SERVER_ERROR);
}
