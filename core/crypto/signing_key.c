#include "core/crypto/signing_key.h"

#include <apr_encode.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

void sf_signing_key_context(char to[SF_SECRET_CONTEXT], const char *account, const char *id)
{
    char *end = sf_sid_write(to, "AC", account);

    *end++ = '/';
    sf_sid_write(end, "SG", id); /* SG is a prefix of signing keys alone; the API shows none */
}

int sf_signing_key_make(char key[SF_SIGNING_KEY_DIGITS + 1])
{
    unsigned char bytes[SF_SIGNING_KEY_BYTES];
    const int made = RAND_bytes(bytes, sizeof(bytes)) == 1
                     && apr_encode_base16_binary(key, bytes, sizeof(bytes), APR_ENCODE_LOWER, NULL)
                            == APR_SUCCESS;

    OPENSSL_cleanse(bytes, sizeof(bytes));
    if (!made) {
        ERR_clear_error();
    }
    return made;
}

static int read_key(const char *key, unsigned char bytes[SF_SIGNING_KEY_BYTES])
{
    return strlen(key) == SF_SIGNING_KEY_DIGITS
           && strspn(key, "0123456789abcdef") == SF_SIGNING_KEY_DIGITS
           && apr_decode_base16_binary(bytes, key, SF_SIGNING_KEY_DIGITS, APR_ENCODE_NONE, NULL)
                  == APR_SUCCESS;
}

int sf_signing_key_token(const char *key, const char *service,
                         char token[SF_SIGNING_TOKEN_DIGITS + 1])
{
    unsigned char bytes[SF_SIGNING_KEY_BYTES];
    unsigned char mac[EVP_MAX_MD_SIZE];
    char sid[SF_SID_LENGTH + 1];
    int derived;

    sf_sid_write(sid, "ZS", service);
    derived = read_key(key, bytes)
              && HMAC(EVP_sha256(), bytes, sizeof(bytes), (const unsigned char *)sid, strlen(sid),
                      mac, NULL)
              && apr_encode_base16_binary(token, mac, SF_SIGNING_TOKEN_DIGITS / 2, APR_ENCODE_LOWER,
                                          NULL)
                     == APR_SUCCESS;
    OPENSSL_cleanse(bytes, sizeof(bytes));
    OPENSSL_cleanse(mac, sizeof(mac));
    if (!derived) {
        ERR_clear_error();
    }
    return derived;
}
