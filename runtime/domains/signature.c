#include "runtime/domains/signature.h"

#include <apr_encode.h>
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define SHA1_BYTES 20
#define SHA256_HEX 64
#define BODY_HASH "bodySHA256="


/* Parameters ------------------------------------------------------------------------------------- */

/* Returns the rank of a byte of UTF-8 in the order of UTF-16 code units, in which clients sort: characters beyond
 * U+FFFF, with a first byte of 0xF0 or more, come before U+E000. */
static int utf16_rank(unsigned char byte)
{
    if (byte == 0xEE || byte == 0xEF) {
        return 0x100 + byte;
    }
    return byte;
}

static int compare_texts(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return utf16_rank((unsigned char)*a) - utf16_rank((unsigned char)*b);
}

static int compare_parameters(const void *a, const void *b)
{
    const sf_form_parameter *left = a;
    const sf_form_parameter *right = b;
    const int names = compare_texts(left->name, right->name);

    return names != 0 ? names : compare_texts(left->value, right->value);
}

static int is_repeated(const sf_form_parameter *sorted, int i)
{
    return i > 0 && compare_parameters(&sorted[i - 1], &sorted[i]) == 0;
}

/* The form's part of the message: each name with its value, sorted, equal pairs once. */
static const char *form_text(apr_pool_t *pool, const apr_array_header_t *form)
{
    apr_array_header_t *parts = apr_array_make(pool, 2 * form->nelts + 1, sizeof(const char *));
    const apr_array_header_t *copy = apr_array_copy(pool, form);
    sf_form_parameter *sorted = (sf_form_parameter *)copy->elts;
    int i;

    qsort(sorted, (size_t)copy->nelts, sizeof(*sorted), compare_parameters);
    for (i = 0; i < copy->nelts; i++) {
        if (!is_repeated(sorted, i)) {
            APR_ARRAY_PUSH(parts, const char *) = sorted[i].name;
            APR_ARRAY_PUSH(parts, const char *) = sorted[i].value;
        }
    }
    return apr_array_pstrcat(pool, parts, 0);
}


/* The signature ---------------------------------------------------------------------------------- */

/* The port behind the host, as ":8443", or NULL. */
static const char *port_of(const char *host)
{
    const char *end = *host == '[' ? strchr(host, ']') : host;

    return end ? strchr(end, ':') : NULL;
}

/* The host in its other form: without its port, or with the scheme's own. */
static const char *other_host(apr_pool_t *pool, const sf_signed_request *request)
{
    const char *port = port_of(request->host);

    if (port) {
        return apr_pstrmemdup(pool, request->host, (apr_size_t)(port - request->host));
    }
    return apr_pstrcat(pool, request->host, strcmp(request->scheme, "https") == 0 ? ":443" : ":80",
                       NULL);
}

/* Whether `given` is the message's HMAC under the token. */
static int matches(apr_pool_t *pool, const char *message, const char *token, const char *given)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    const char *text;

    if (!*token
        || !HMAC(EVP_sha1(), token, (int)strlen(token), (const unsigned char *)message,
                 strlen(message), mac, &length)
        || length != SHA1_BYTES) {
        ERR_clear_error(); /* the error queue of the thread, which mod_ssl would find */
        return 0;
    }
    text = apr_pencode_base64_binary(pool, mac, SHA1_BYTES, APR_ENCODE_NONE, NULL);
    return strlen(given) == strlen(text) && CRYPTO_memcmp(given, text, strlen(text)) == 0;
}

int sf_signature_is_valid(apr_pool_t *pool, const sf_signed_request *signed_request,
                          const char *token, const char *given)
{
    const char *hosts[] = { signed_request->host, other_host(pool, signed_request) };
    const char *form = signed_request->form ? form_text(pool, signed_request->form) : "";
    int valid = 0;
    size_t i;

    for (i = 0; i < sizeof(hosts) / sizeof(*hosts); i++) {
        const char *message = apr_pstrcat(pool, signed_request->scheme, "://", hosts[i],
                                          signed_request->target, form, NULL);

        valid |= matches(pool, message, token, given);
    }
    return valid;
}

const char *sf_signature_body_sha256(apr_pool_t *pool, const char *query)
{
    const char *parameter = query;

    while (parameter && strncmp(parameter, BODY_HASH, sizeof(BODY_HASH) - 1) != 0) {
        parameter = strchr(parameter, '&');
        if (parameter) {
            parameter++;
        }
    }
    if (!parameter) {
        return NULL;
    }
    parameter += sizeof(BODY_HASH) - 1;
    return strspn(parameter, "0123456789abcdefABCDEF") == SHA256_HEX
                   && (parameter[SHA256_HEX] == '\0' || parameter[SHA256_HEX] == '&')
               ? apr_pstrmemdup(pool, parameter, SHA256_HEX)
               : "";
}
