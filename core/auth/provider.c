#include "core/auth/provider.h"

#include "core/auth/password_cache.h"
#include "core/config.h"
#include "core/crypto/sha256.h"
#include "core/crypto/sha256_error.h"
#include "core/db/db.h"
#include "core/log.h"

#include <ap_provider.h>
#include <apr_base64.h>
#include <apr_encode.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_auth.h>
#include <openssl/crypto.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

/* Returns the user with hex digits in lower case if it is the SID of an account or key, else
 * NULL. */
static const char *credential_of(apr_pool_t *pool, const char *user)
{
    char *sid = apr_palloc(pool, SF_SID_LENGTH + 1);
    char *digits = sid + SF_SID_PREFIX;

    if (!sf_sid_parse(user, "AC", digits) && !sf_sid_parse(user, "SK", digits)) {
        return NULL;
    }
    memcpy(sid, user, SF_SID_PREFIX);
    return sid;
}

/* Hashes a password as the database has it. Secrets are long and random, so that SHA-256 is
 * enough. Returns 0 where OpenSSL has failed. */
static int hash_password(apr_pool_t *pool, const char *password, char hex[SF_SHA256_HEX + 1])
{
    sf_sha256 hash;

    sf_sha256_begin(&hash, pool);
    sf_sha256_add(&hash, password, strlen(password));
    return sf_sha256_end(&hash, hex);
}

/* Compares a hash with the database's, in constant time. */
static int matches_hash(const char hex[SF_SHA256_HEX + 1], const char *kept)
{
    return strlen(kept) == SF_SHA256_HEX && CRYPTO_memcmp(hex, kept, SF_SHA256_HEX) == 0;
}

/* Takes over a credential with the right password. */
static void set_known(sf_request *request, const sf_known_credential *known)
{
    request->generation = apr_pstrdup(request->r->pool, known->generation);
    request->account = apr_pstrdup(request->r->pool, known->account);
}

/* The columns of credential_secret. */
enum { SECRET_HASH, GENERATION, ACCOUNT, STATE };

/* Reasons of refusals, for the log. */
#define REFUSAL_UNKNOWN "unknown user"
#define REFUSAL_SECRET "wrong secret"
#define REFUSAL_SUSPENDED "suspended account"
#define REFUSAL_REVOKED "revoked key"

/* Returns why a credential with this row of credential_secret is refused whatever its secret is, or NULL. */
static const char *refusal_of(sf_rows *rows)
{
    const char *state = sf_rows_count(rows) > 0 ? sf_rows_value(rows, 0, STATE) : NULL;

    if (!state) {
        return REFUSAL_UNKNOWN;
    }
    if (strcmp(state, "active") == 0) {
        return NULL;
    }
    return strcmp(state, "suspended") == 0 ? REFUSAL_SUSPENDED : REFUSAL_REVOKED;
}

/* Reads a row of credential_secret. */
static sf_known_credential known_of(sf_rows *rows)
{
    sf_known_credential known;

    apr_cpystrn(known.generation, sf_rows_value(rows, 0, GENERATION), sizeof(known.generation));
    sf_sid_write(known.account, "AC", sf_rows_value(rows, 0, ACCOUNT));
    return known;
}

/* Checks the password by a statement. Keeps it in the password cache if it is right. */
static authn_status check_in_database(sf_request *request, const char *credential,
                                      const char *password)
{
    request_rec *r = request->r;
    const sf_caller caller = sf_caller_of(r);
    char hex[SF_SHA256_HEX + 1];
    sf_known_credential known;
    sf_rows *rows;

    if (!hash_password(r->pool, password, hex)) {
        request->error = sf_sha256_failed(&caller);
        return AUTH_GENERAL_ERROR;
    }
    request->error = sf_db_run(&caller, SF_STATEMENT_CREDENTIAL_SECRET, &credential, &rows);
    if (request->error) {
        return AUTH_GENERAL_ERROR; /* mod_auth_basic makes it 500, our error filter 503 */
    }
    request->refusal = refusal_of(rows);
    if (request->refusal) {
        return AUTH_USER_NOT_FOUND;
    }
    if (!matches_hash(hex, sf_rows_value(rows, 0, SECRET_HASH))) {
        request->refusal = REFUSAL_SECRET;
        return AUTH_DENIED;
    }
    known = known_of(rows);
    set_known(request, &known);
    request->credential_checked = 1;
    sf_password_cache_keep(sf_config_database(r->server), credential, password, &known);
    return AUTH_GRANTED;
}

/* Looks the password up in the password cache, for requests to the API only: the statement that
 * follows there checks the generation. A Location of another handler has no such statement. */
static int check_in_cache(sf_request *request, const char *credential, const char *password)
{
    const int database = sf_config_database(request->r->server);
    sf_known_credential known;

    if (!request->claimed || database <= 0
        || !sf_password_cache_find(database, credential, password, &known)) {
        return 0;
    }
    set_known(request, &known);
    return 1;
}

/* The header that Basic authentication reads its credential from. */
static const char *authorization_of(const request_rec *r)
{
    return apr_table_get(r->headers_in,
                         r->proxyreq == PROXYREQ_PROXY ? "Proxy-Authorization" : "Authorization");
}

/* Whether the credential that the client sent has a NUL in it. mod_auth_basic reads user and
 * password as C strings, which end at the NUL; the bytes after it are ignored. */
static int has_nul(const request_rec *r)
{
    const char *header = authorization_of(r);
    char *decoded;
    int length;

    if (!header || ap_cstr_casecmpn(header, "Basic ", 6) != 0) {
        return 0;
    }
    header += 6;
    while (apr_isspace(*header)) {
        header++;
    }
    decoded = apr_palloc(r->pool, apr_base64_decode_len(header) + 1);
    length = apr_base64_decode(decoded, header);
    return memchr(decoded, '\0', length) != NULL;
}

static authn_status check_password(request_rec *r, const char *user, const char *password)
{
    sf_request *request = sf_request_of(r);
    const char *credential = credential_of(r->pool, user);

    if (!credential) {
        request->refusal = REFUSAL_UNKNOWN;
        return AUTH_USER_NOT_FOUND;
    }
    if (has_nul(r)) {
        request->refusal = REFUSAL_SECRET;
        return AUTH_DENIED;
    }
    return check_in_cache(request, credential, password)
               ? AUTH_GRANTED
               : check_in_database(request, credential, password);
}

void sf_auth_register(apr_pool_t *pool)
{
    static const authn_provider provider = { check_password, NULL };

    ap_register_auth_provider(pool, AUTHN_PROVIDER_GROUP, "serverless", AUTHN_PROVIDER_VERSION,
                              &provider, AP_AUTH_INTERNAL_PER_CONF);
}

/* Takes the generation and the account over from the request that an internal redirect or subrequest comes from:
 * httpd does not authenticate again there. */
static void inherit_generation(sf_request *request)
{
    request_rec *from = request->r->prev ? request->r->prev : request->r->main;

    if (from && from->user && !request->generation && strcmp(from->user, request->r->user) == 0) {
        sf_request *origin = sf_request_of(from);

        inherit_generation(origin);
        request->generation = origin->generation;
        request->account = origin->account;
    }
}

const sf_error *sf_auth_take_user(sf_request *request)
{
    request_rec *r = request->r;

    if (!r->user) {
        const sf_caller caller = sf_caller_of(r);

        sf_log(&caller, APLOG_ERR, "SF0007",
               "refused: no authentication is configured for this Location (AuthType, "
               "AuthBasicProvider serverless, Require valid-user)");
        return sf_error_of_status(r->pool, HTTP_FORBIDDEN);
    }
    inherit_generation(request);
    request->credential = credential_of(r->pool, r->user);
    /* check_password() has not looked where another provider has authenticated */
    if (!request->generation && has_nul(r)) {
        request->credential = NULL;
    }
    if (!request->account) {
        request->account = request->credential;
    }
    if (!request->credential) {
        return sf_error_of_status(r->pool, HTTP_UNAUTHORIZED);
    }
    apr_table_setn(r->notes, SF_ACCOUNT_NOTE, request->account);
    return NULL;
}

/* Returns the reason of a 401 that the provider has not given: the secret was in the password cache, or another
 * module of httpd has authenticated the client. */
static const char *find_refusal(const sf_caller *caller)
{
    const char *credential = caller->r->user ? credential_of(caller->pool, caller->r->user) : NULL;
    const char *refusal;
    sf_rows *rows;

    if (!credential) {
        return REFUSAL_UNKNOWN;
    }
    if (sf_db_run(caller, SF_STATEMENT_CREDENTIAL_SECRET, &credential, &rows)) {
        return "reason not known";
    }
    refusal = refusal_of(rows);
    return refusal ? refusal : REFUSAL_SECRET;
}

int sf_auth_log_refusal(request_rec *r)
{
    for (; r; r = r->next) {
        const sf_caller caller = sf_caller_of(r);
        const char *refusal = sf_request_of(r)->refusal;

        if (r->status == HTTP_UNAUTHORIZED && authorization_of(r)
            && (sf_request_of(r)->claimed || refusal)) {
            sf_log(&caller, APLOG_WARNING, "SF0021", "wrong credentials from %s: %s",
                   r->useragent_ip, refusal ? refusal : find_refusal(&caller));
            break;
        }
    }
    return DECLINED;
}

void sf_auth_challenge(request_rec *r)
{
    ap_note_auth_failure(r);
}
