#include "core/crypto/secret.h"

#include "core/config.h"
#include "core/log.h"

#include <apr_encode.h>
#include <apr_strings.h>
#include <http_log.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

#define NONCE_BYTES 12 /* NIST SP 800-38D, section 8.2 */
#define TAG_BYTES 16

/* Bytes of a stored value besides the ciphertext: the nonce before it, the tag behind it. */
#define OVERHEAD_BYTES (NONCE_BYTES + TAG_BYTES)
#define SEALED_MAX (SF_SECRET_MAX + OVERHEAD_BYTES)

enum { DECRYPT, ENCRYPT };

void sf_secret_context(char to[SF_SECRET_CONTEXT], const char *environment, const char *variable)
{
    char *end = sf_sid_write(to, "ZE", environment);

    *end++ = '/';
    sf_sid_write(end, "ZV", variable);
}


/* AES-256-GCM --------------------------------------------------------------------------------- */

/* Encrypts or decrypts between `text` and the `length` bytes of ciphertext in `sealed`, which
 * stand between nonce and tag. Encryption writes the tag, decryption compares it. Returns 0
 * where OpenSSL fails or the tag differs. */
static int transform(int direction, const sf_encryption_key *key, const char *context,
                     unsigned char *sealed, unsigned char *text, int length)
{
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    unsigned char *body = sealed + NONCE_BYTES;
    unsigned char *tag = body + length;
    const int encrypts = direction == ENCRYPT;
    int written;
    const int done
        = cipher
          && EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, key->bytes, sealed, direction)
          && EVP_CipherUpdate(cipher, NULL, &written, (const unsigned char *)context,
                              (int)strlen(context))
          && EVP_CipherUpdate(cipher, encrypts ? body : text, &written, encrypts ? text : body,
                              length)
          && (encrypts || EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1)
          && EVP_CipherFinal_ex(cipher, tag, &written)
          && (!encrypts || EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, tag) == 1);

    EVP_CIPHER_CTX_free(cipher);
    if (!done) {
        ERR_clear_error(); /* the error queue of the thread, which mod_ssl would find */
    }
    return done;
}

static int encrypt(const sf_encryption_key *key, const char *context, const char *text, int length,
                   unsigned char *sealed)
{
    return RAND_bytes(sealed, NONCE_BYTES) == 1
           && transform(ENCRYPT, key, context, sealed, (unsigned char *)text, length);
}

static int decrypt(const sf_encryption_key *key, const char *context, unsigned char *sealed,
                   char *text, int length)
{
    if (!transform(DECRYPT, key, context, sealed, (unsigned char *)text, length)) {
        OPENSSL_cleanse(text, (size_t)length); /* unauthenticated */
        return 0;
    }
    text[length] = '\0';
    return 1;
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
    const int length = (int)strlen(text);
    unsigned char bytes[SEALED_MAX];

    if (!keys) {
        return sf_secret_available(caller);
    }
    if (length > SF_SECRET_MAX || !encrypt(&keys->key[0], context, text, length, bytes)) {
        return openssl_failed(caller, "encrypt");
    }
    *sealed = apr_pstrcat(caller->pool, keys->key[0].id, ":",
                          apr_pencode_base16_binary(caller->pool, bytes, length + OVERHEAD_BYTES,
                                                    APR_ENCODE_LOWER, NULL),
                          NULL);
    return NULL;
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

const char *sf_secret_try(const sf_keyring *keys, const char *context, const char *sealed,
                          char text[SF_SECRET_MAX + 1])
{
    const apr_size_t id = strcspn(sealed, ":");
    const char *digits = sealed[id] == ':' ? sealed + id + 1 : sealed + id;
    const apr_size_t length = strlen(digits) / 2;
    const sf_encryption_key *key = sf_keyring_find(keys, sealed, id);
    unsigned char bytes[SEALED_MAX];

    if (!key) {
        return "the key is not known";
    }
    if (length < OVERHEAD_BYTES || length > SEALED_MAX
        || apr_decode_base16_binary(bytes, digits, (apr_ssize_t)(2 * length), APR_ENCODE_NONE, NULL)
        || !decrypt(key, context, bytes, text, (int)(length - OVERHEAD_BYTES))) {
        return "it is not what was written there";
    }
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
    message = sf_secret_try(keys, context, sealed, text);
    if (!message) {
        return NULL;
    }
    sf_log(caller, APLOG_ERR, "SF0018", "Variable %s, key \"%.*s\": cannot be decrypted: %s",
           strchr(context, '/') + 1, (int)strcspn(sealed, ":"), sealed, message);
    return sf_error_of_status(caller->pool, HTTP_INTERNAL_SERVER_ERROR);
}
