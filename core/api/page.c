#include "core/api/page.h"

#include "core/db/db.h"

#include <apr_encode.h>
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#define DEFAULT_SIZE "50"
#define MAXIMUM_NUMBER 1000000000

/* A token is "PT", then base64url of: direction (1 byte), row (its uuid), signature (16). */
#define TOKEN_PREFIX "PT"
#define SIGNATURE_BYTES 16
#define TOKEN_BYTES (1 + SF_UUID_BYTES + SIGNATURE_BYTES)
#define TOKEN_LENGTH (sizeof(TOKEN_PREFIX) - 1 + (size_t)TOKEN_BYTES / 3 * 4)

typedef struct {
    unsigned char bytes[TOKEN_BYTES];
} token;


/* Tokens ----------------------------------------------------------------------------------------- */

/* 0 where OpenSSL fails: then there is no signature. */
static int sign(apr_pool_t *pool, const token *token, const sf_page_scope *scope,
                unsigned char signature[SIGNATURE_BYTES])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length;
    char *row = apr_palloc(pool, 2 * (SF_UUID_BYTES + 1) + 1);
    const char *text;

    ap_bin2hex(token->bytes, 1 + SF_UUID_BYTES, row);
    text = apr_pstrcat(pool, scope->account, " ", scope->list, "?", scope->filters, " ", row, NULL);
    if (!HMAC(EVP_sha256(), scope->key, SF_DB_KEY_BYTES, (const unsigned char *)text, strlen(text),
              digest, &length)) {
        return 0;
    }
    memcpy(signature, digest, SIGNATURE_BYTES);
    return 1;
}

/* Undoes the encoding; 0 where the token cannot be one of ours. */
static int decode(const char *text, token *token)
{
    apr_size_t length;

    return strlen(text) == TOKEN_LENGTH
           && strncmp(text, TOKEN_PREFIX, sizeof(TOKEN_PREFIX) - 1) == 0
           && apr_decode_base64_binary(token->bytes, text + sizeof(TOKEN_PREFIX) - 1,
                                       APR_ENCODE_STRING, APR_ENCODE_NONE, &length)
                  == APR_SUCCESS
           && length == TOKEN_BYTES
           && (token->bytes[0] == SF_PAGE_FROM || token->bytes[0] == SF_PAGE_BEFORE);
}

const char *sf_page_token(apr_pool_t *pool, char direction, const char *row,
                          const sf_page_scope *scope)
{
    token token = { { 0 } };
    char sid[SF_SID_LENGTH + 1];

    token.bytes[0] = (unsigned char)direction;
    sf_sid_write(sid, "  ", row);
    apr_decode_base16_binary(token.bytes + 1, sid + SF_SID_PREFIX, APR_ENCODE_STRING,
                             APR_ENCODE_NONE, NULL);
    (void)sign(pool, &token, scope,
               token.bytes + 1 + SF_UUID_BYTES); /* without, it will be refused */
    return apr_pstrcat(pool, TOKEN_PREFIX,
                       apr_pencode_base64_binary(pool, token.bytes, TOKEN_BYTES,
                                                 APR_ENCODE_URL | APR_ENCODE_NOPADDING, NULL),
                       NULL);
}

int sf_page_token_is_valid(apr_pool_t *pool, const sf_page *page, const sf_page_scope *scope)
{
    unsigned char signature[SIGNATURE_BYTES];
    token token;

    if (!decode(page->token, &token)) {
        return 0;
    }
    return sign(pool, &token, scope, signature)
           && CRYPTO_memcmp(signature, token.bytes + 1 + SF_UUID_BYTES, SIGNATURE_BYTES) == 0;
}


/* Parameters ------------------------------------------------------------------------------------- */

/* Reads a decimal number of at least `minimum`; what is larger than `maximum` becomes that. 0 where
 * it is not a number or too small. */
static int number(const char *text, int minimum, int maximum, int *value)
{
    const char *digits = text + strspn(text, "0");
    int length = (int)strspn(digits, "0123456789");

    if (!*text || digits[length]) {
        return 0;
    }
    *value = length > 9 ? maximum : atoi(digits);
    *value = *value > maximum ? maximum : *value;
    return *value >= minimum;
}

static const sf_error *read_token(apr_pool_t *pool, sf_page *page)
{
    token token;

    if (!page->token) {
        return page->number == 0
                   ? NULL
                   : sf_error_bad_request(
                       pool, "Page needs the PageToken that came with the page before it");
    }
    if (!decode(page->token, &token)) {
        return sf_error_bad_request(pool, "PageToken is not valid for this list");
    }
    page->direction = (char)token.bytes[0];
    ap_bin2hex(token.bytes + 1, SF_UUID_BYTES, page->row);
    return NULL;
}

/* What every list takes. */
static const sf_param page_params[]
    = { { .name = "PageSize", .kind = SF_PARAM_TEXT, .maximum = 255 },
        { .name = "Page", .kind = SF_PARAM_TEXT, .maximum = 255 },
        { .name = "PageToken", .kind = SF_PARAM_TEXT, .maximum = 255 },
        { .name = NULL } };

const sf_error *sf_page_read(const sf_request *request, int maximum, sf_page *page)
{
    apr_pool_t *pool = request->r->pool;
    const int count = sf_params_count(page->filters);
    const char **const values = page->values + count;
    sf_param params[SF_PARAMS_MAX + 1];
    const sf_error *error;

    if (count > 0) {
        memcpy(params, page->filters, (apr_size_t)count * sizeof(*params));
    }
    memcpy(params + count, page_params, sizeof(page_params));
    error = sf_params_read(request, params, page->values);
    if (error) {
        return error;
    }
    if (!number(values[0] ? values[0] : DEFAULT_SIZE, 1, maximum, &page->size)) {
        return sf_error_bad_request(pool, "PageSize must be a whole number from 1 to 1000");
    }
    if (!number(values[1] ? values[1] : "0", 0, MAXIMUM_NUMBER, &page->number)) {
        return sf_error_bad_request(pool, "Page must be a whole number from 0");
    }
    page->token = values[2];
    page->direction = SF_PAGE_FROM;
    memset(page->row, 'f', SF_SID_DIGITS); /* no row is newer */
    page->row[SF_SID_DIGITS] = '\0';
    return read_token(pool, page);
}

const char *sf_page_filters(apr_pool_t *pool, const sf_page *page)
{
    const char *text = "";
    int i;

    for (i = 0; page->filters && page->filters[i].name; i++) {
        if (page->values[i]) {
            text = apr_pstrcat(pool, text, page->filters[i].name, "=",
                               sf_param_query(pool, &page->filters[i], page->values[i]), "&", NULL);
        }
    }
    return text;
}
