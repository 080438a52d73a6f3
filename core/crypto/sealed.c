#include "core/crypto/sealed.h"

#include <apr_encode.h>
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#define NONCE_BYTES 12 /* NIST SP 800-38D, section 8.2 */
#define TAG_BYTES 16

/* Bytes of a stored value besides the ciphertext: the nonce before it, the tag behind it. */
#define OVERHEAD_BYTES (NONCE_BYTES + TAG_BYTES)
#define SEALED_MAX (SF_SECRET_MAX + OVERHEAD_BYTES)

enum { DECRYPT, ENCRYPT };


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


/* Values as text ------------------------------------------------------------------------------ */

const char *sf_sealed_make(apr_pool_t *pool, const sf_encryption_key *key, const char *context,
                           const char *text)
{
    const int length = (int)strlen(text);
    unsigned char bytes[SEALED_MAX];

    if (length > SF_SECRET_MAX || !encrypt(key, context, text, length, bytes)) {
        return NULL;
    }
    return apr_pstrcat(
        pool, key->id, ":",
        apr_pencode_base16_binary(pool, bytes, length + OVERHEAD_BYTES, APR_ENCODE_LOWER, NULL),
        NULL);
}

const char *sf_sealed_open(const sf_keyring *keys, const char *context, const char *sealed,
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
