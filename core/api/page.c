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

/* A token is "PT", then base64url of the direction (1 byte), the row's uuid and the signature. */
#define TOKEN_PREFIX "PT"
#define SIGNATURE_BYTES 16
#define SIGNED_BYTES (1 + SF_UUID_BYTES)
#define TOKEN_BYTES (SIGNED_BYTES + SIGNATURE_BYTES)
#define TOKEN_LENGTH (sizeof(TOKEN_PREFIX) - 1 + (size_t)TOKEN_BYTES / 3 * 4)


/* Tokens ----------------------------------------------------------------------------------------- */

/* Signs a token's first SIGNED_BYTES for the scope. Returns 0 if OpenSSL fails. */
static int sign_token(apr_pool_t *pool, const unsigned char *token, const sf_page_scope *scope,
                      unsigned char signature[SIGNATURE_BYTES])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length;
    char *row = apr_palloc(pool, 2 * SIGNED_BYTES + 1);
    const char *text;

    ap_bin2hex(token, SIGNED_BYTES, row);
    text = apr_pstrcat(pool, scope->account, " ", scope->list, "?", scope->filters, " ", row, NULL);
    if (!HMAC(EVP_sha256(), scope->key, SF_DB_KEY_BYTES, (const unsigned char *)text, strlen(text),
              digest, &length)) {
        return 0;
    }
    memcpy(signature, digest, SIGNATURE_BYTES);
    return 1;
}

/* Decodes a token. Returns 0 if it does not have the form of one. */
static int decode_token(const char *text, unsigned char token[TOKEN_BYTES])
{
    apr_size_t length;

    return strlen(text) == TOKEN_LENGTH
           && strncmp(text, TOKEN_PREFIX, sizeof(TOKEN_PREFIX) - 1) == 0
           && apr_decode_base64_binary(token, text + sizeof(TOKEN_PREFIX) - 1, APR_ENCODE_STRING,
                                       APR_ENCODE_NONE, &length)
                  == APR_SUCCESS
           && length == TOKEN_BYTES && (token[0] == SF_PAGE_FROM || token[0] == SF_PAGE_BEFORE);
}

const char *sf_page_token(apr_pool_t *pool, char direction, const char *row,
                          const sf_page_scope *scope)
{
    unsigned char token[TOKEN_BYTES] = { 0 };
    char sid[SF_SID_LENGTH + 1];

    token[0] = (unsigned char)direction;
    sf_sid_write(sid, "  ", row);
    apr_decode_base16_binary(token + 1, sid + SF_SID_PREFIX, APR_ENCODE_STRING, APR_ENCODE_NONE,
                             NULL);
    (void)sign_token(pool, token, scope, token + SIGNED_BYTES); /* unsigned, it is never valid */
    return apr_pstrcat(pool, TOKEN_PREFIX,
                       apr_pencode_base64_binary(pool, token, TOKEN_BYTES,
                                                 APR_ENCODE_URL | APR_ENCODE_NOPADDING, NULL),
                       NULL);
}

int sf_page_token_is_valid(apr_pool_t *pool, const sf_page *page, const sf_page_scope *scope)
{
    unsigned char signature[SIGNATURE_BYTES];
    unsigned char token[TOKEN_BYTES];

    return decode_token(page->token, token) && sign_token(pool, token, scope, signature)
           && CRYPTO_memcmp(signature, token + SIGNED_BYTES, SIGNATURE_BYTES) == 0;
}


/* Parameters ------------------------------------------------------------------------------------- */

/* Reads a decimal number of at least `minimum`; a number above `maximum` becomes that. Returns 0
 * if the text is not a number or the number is too small. */
static int read_number(const char *text, int minimum, int maximum, int *value)
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

/* Reads the direction and the row of the page's token. Without one the page begins at the newest
 * row. */
static const sf_error *read_token(apr_pool_t *pool, sf_page *page)
{
    unsigned char token[TOKEN_BYTES];

    if (page->token) {
        if (!decode_token(page->token, token)) {
            return sf_error_bad_request(pool, "PageToken is not valid for this list");
        }
        page->direction = (char)token[0];
        ap_bin2hex(token + 1, SF_UUID_BYTES, page->row);
        return NULL;
    }
    if (page->number > 0) {
        return sf_error_bad_request(pool,
                                    "Page needs the PageToken that came with the page before it");
    }
    page->direction = SF_PAGE_FROM;
    memcpy(page->row, SF_PAGE_NEWEST_ROW, sizeof(page->row));
    return NULL;
}

/* The parameters of every list. */
enum { PARAM_PAGE_SIZE, PARAM_PAGE, PARAM_PAGE_TOKEN };

static const sf_param page_params[] = {
    { .name = "PageSize", .kind = SF_PARAM_TEXT, .maximum = 255 },
    { .name = "Page", .kind = SF_PARAM_TEXT, .maximum = 255 },
    { .name = "PageToken", .kind = SF_PARAM_TEXT, .maximum = 255 },
    { .name = NULL },
};

/* Reads the filters, then the page's own parameters, into page->values. */
static const sf_error *read_params(const sf_request *request, int filters, sf_page *page)
{
    sf_param params[SF_PARAMS_MAX + 1];

    if (filters > 0) {
        memcpy(params, page->filters, (apr_size_t)filters * sizeof(*params));
    }
    memcpy(params + filters, page_params, sizeof(page_params));
    return sf_params_read(request, params, page->values);
}

const sf_error *sf_page_read(const sf_request *request, int maximum, sf_page *page)
{
    apr_pool_t *pool = request->r->pool;
    const int filters = sf_params_count(page->filters);
    const char **const values = page->values + filters;

    SF_TRY(read_params(request, filters, page));
    if (!read_number(values[PARAM_PAGE_SIZE] ? values[PARAM_PAGE_SIZE] : DEFAULT_SIZE, 1, maximum,
                     &page->size)) {
        return sf_error_bad_request(pool, "PageSize must be a whole number from 1 to 1000");
    }
    if (!read_number(values[PARAM_PAGE] ? values[PARAM_PAGE] : "0", 0, MAXIMUM_NUMBER,
                     &page->number)) {
        return sf_error_bad_request(pool, "Page must be a whole number from 0");
    }
    page->token = values[PARAM_PAGE_TOKEN];
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
