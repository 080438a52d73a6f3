#include "runtime/domains/visibility.h"

#include "core/config.h"
#include "core/crypto/sha256.h"
#include "core/crypto/sha256_error.h"
#include "core/http/form.h"
#include "runtime/domains/request_parts.h"
#include "runtime/domains/signature.h"
#include "runtime/domains/signing_secrets.h"

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <string.h>

/* The most parameters of a form. In memory each takes at least 16 times its two bytes in a body. */
#define PARAMETERS_MAX 1000

/* Characters of an HMAC-SHA1 in Base64. */
#define SIGNATURE_LENGTH 28


/* The signed parts of a request ------------------------------------------------------------------ */

/* Decodes the body as a form. */
static int read_form(const sf_domain_request *request, apr_array_header_t **form)
{
    apr_pool_t *pool = request->r->pool;
    char *rest = apr_pstrmemdup(pool, request->body, request->body_length);
    sf_form_parameter parameter;
    sf_form_result result;

    if (strlen(rest) != request->body_length) {
        return HTTP_BAD_REQUEST;
    }
    *form = apr_array_make(pool, 16, sizeof(sf_form_parameter));
    result = sf_form_next(&rest, &parameter);
    while (result == SF_FORM_PARAMETER) {
        if ((*form)->nelts == PARAMETERS_MAX) {
            return HTTP_REQUEST_ENTITY_TOO_LARGE;
        }
        APR_ARRAY_PUSH(*form, sf_form_parameter) = parameter;
        result = sf_form_next(&rest, &parameter);
    }
    return result == SF_FORM_END ? OK : HTTP_BAD_REQUEST;
}

/* Compares the body with the hash in the query, hex digits in any case. */
static int check_body_hash(const sf_domain_request *request, const char *expected)
{
    apr_pool_t *pool = request->r->pool;
    const sf_caller caller = sf_caller_of(request->r);
    char *digits = apr_pstrdup(pool, expected);
    char found[SF_SHA256_HEX + 1];
    sf_sha256 hash;

    sf_sha256_begin(&hash, pool);
    sf_sha256_add(&hash, request->body, request->body_length);
    if (!sf_sha256_end(&hash, found)) {
        return sf_sha256_failed(&caller)->status;
    }
    ap_str_tolower(digits);
    return strlen(digits) == SF_SHA256_HEX && CRYPTO_memcmp(digits, found, SF_SHA256_HEX) == 0
               ? OK
               : HTTP_FORBIDDEN;
}

/* Finds out how the signature covers the body: by bodySHA256, which is a part of the URL, or by the parameters
 * of a form. Any other body is not covered: 403. */
static int cover_body(const sf_domain_request *request, sf_signed_request *signed_request)
{
    request_rec *r = request->r;
    const char *query = strchr(signed_request->target, '?');
    const char *hash = query ? sf_signature_body_sha256(r->pool, query + 1) : NULL;
    apr_array_header_t *form = NULL;
    int status;

    if (hash) {
        return check_body_hash(request, hash);
    }
    if (sf_form_is_type(apr_table_get(r->headers_in, "Content-Type"))) {
        status = read_form(request, &form);
        signed_request->form = form;
        return status;
    }
    return request->body_length == 0 ? OK : HTTP_FORBIDDEN;
}


/* The check -------------------------------------------------------------------------------------- */

/* Whether the signature is one under the token, or under that of the old key while it is valid. */
static int is_signed(const sf_domain_request *request, const sf_signed_request *signed_request,
                     const sf_signing_secrets *secrets, const char *given)
{
    apr_pool_t *pool = request->r->pool;
    int valid = sf_signature_is_valid(pool, signed_request, secrets->token, given);

    if (*secrets->old_token && apr_time_now() < secrets->old_expires) {
        valid |= sf_signature_is_valid(pool, signed_request, secrets->old_token, given);
    }
    return valid;
}

/* Checks the signature of the body and the URL. */
static int check_request(sf_domain_request *request, const sf_signing_secrets *secrets,
                         const char *given)
{
    request_rec *r = request->r;
    sf_signed_request signed_request
        = { sf_config_signature_scheme(r), sf_request_host(request), sf_request_target(r), NULL };
    int status = sf_request_read_body(request);

    if (status == OK) {
        status = cover_body(request, &signed_request);
    }
    if (status == OK && !is_signed(request, &signed_request, secrets, given)) {
        status = HTTP_FORBIDDEN;
    }
    return status;
}

/* Refuses without reading the body where no body can help. */
static int check_signature(sf_domain_request *request)
{
    const char *given = apr_table_get(request->r->headers_in, "X-Twilio-Signature");
    sf_signing_secrets secrets;
    int status;

    if (!given || strlen(given) != SIGNATURE_LENGTH) {
        return HTTP_FORBIDDEN;
    }
    status = sf_signing_secrets_find(request, &secrets);
    if (status == OK) {
        sf_signing_secrets_explain(request, &secrets);
        status = *secrets.token || *secrets.old_token ? check_request(request, &secrets, given)
                                                      : HTTP_FORBIDDEN;
    }
    OPENSSL_cleanse(&secrets, sizeof(secrets));
    return status;
}

int sf_visibility_check(sf_domain_request *request)
{
    switch (request->file->visibility) {
    case SF_PUBLIC:
        return OK;
    case SF_PROTECTED:
        return check_signature(request);
    default:
        return HTTP_NOT_FOUND;
    }
}
