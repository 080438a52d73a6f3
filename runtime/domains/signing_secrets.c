#include "runtime/domains/signing_secrets.h"

#include "core/cache.h"
#include "core/config.h"
#include "core/crypto/secret.h"
#include "core/db/db.h"
#include "core/log.h"
#include "runtime/domains/domain.h"

#include <apr_atomic.h>
#include <apr_strings.h>
#include <http_log.h>
#include <openssl/crypto.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

/* The most Environments. */
#define ENTRIES_MAX 1024

/* The columns of signing_secrets. */
enum { VARIABLE, ID, SEALED, MILLISECONDS };

/* A changed Variable and a changed signing key renew the context tag, so that an entry never changes. The
 * account is a part of the key because a Service may pass to another account. */
typedef struct {
    int database;
    char environment[SF_UUID_LENGTH + 1];
    char account[SF_UUID_LENGTH + 1];
    char context_tag[SF_UUID_LENGTH + 1];
} cache_key;

/* The secrets of a request's Environment, while they are read. */
typedef struct {
    const sf_caller *caller;
    const sf_route *route;
    sf_rows *rows;
    apr_time_t begun; /* before the rows were read */
    sf_signing_secrets *secrets;
} secrets_reader;

static sf_cache *cache;

apr_status_t sf_signing_secrets_init(apr_pool_t *pool)
{
    return sf_cache_make(pool, sizeof(cache_key), sizeof(sf_signing_secrets), ENTRIES_MAX, &cache);
}

static cache_key key_of(const sf_domain_request *request)
{
    cache_key key;

    memset(&key, 0, sizeof(key));
    key.database = sf_config_database(request->r->server);
    apr_cpystrn(key.environment, request->route.environment, sizeof(key.environment));
    apr_cpystrn(key.account, request->route.account, sizeof(key.account));
    apr_cpystrn(key.context_tag, request->route.context_tag, sizeof(key.context_tag));
    return key;
}


/* Decryption ------------------------------------------------------------------------------------- */

/* Returns the row of a Variable, or -1. */
static int find_variable(const secrets_reader *reader, const char *name)
{
    int row = sf_rows_count(reader->rows) - 1;

    while (row >= 0 && strcmp(sf_rows_value(reader->rows, row, VARIABLE), name) != 0) {
        row--;
    }
    return row;
}

/* Takes the Variable AUTH_TOKEN. A value that cannot be decrypted is logged, and leaves no token. */
static void take_variable(const secrets_reader *reader, int row)
{
    char context[SF_SECRET_CONTEXT];

    sf_secret_context(context, reader->route->environment, sf_rows_value(reader->rows, row, ID));
    if (sf_secret_open(reader->caller, context, sf_rows_value(reader->rows, row, SEALED),
                       reader->secrets->token)) {
        *reader->secrets->token = '\0';
    }
}

/* Derives the Service's token from the signing key of a row. Returns NULL or an error message. */
static const char *derive_token(const secrets_reader *reader, int row,
                                char token[SF_SIGNING_TOKEN_DIGITS + 1])
{
    char context[SF_SECRET_CONTEXT];
    char key[SF_SECRET_MAX + 1];
    const char *message;

    sf_signing_key_context(context, reader->route->account, sf_rows_value(reader->rows, row, ID));
    message = sf_sealed_open(sf_config_variable_keys(), context,
                             sf_rows_value(reader->rows, row, SEALED), key);
    if (!message && !sf_signing_key_token(key, reader->route->service, token)) {
        message = "OpenSSL derives no token";
    }
    OPENSSL_cleanse(key, sizeof(key));
    return message;
}

/* Takes the signing key of a row: the current one, or one that another key has replaced. */
static void take_signing_key(const secrets_reader *reader, int row)
{
    const char *sealed = sf_rows_value(reader->rows, row, SEALED);
    const char *left = sf_rows_value(reader->rows, row, MILLISECONDS);
    char account[SF_SID_LENGTH + 1];
    char token[SF_SIGNING_TOKEN_DIGITS + 1];
    const char *message = derive_token(reader, row, token);

    if (message) {
        sf_sid_write(account, "AC", reader->route->account);
        sf_log(reader->caller, APLOG_ERR, "SF0018",
               "signing key of account %s, key \"%.*s\": cannot be decrypted: %s", account,
               (int)strcspn(sealed, ":"), sealed, message);
    }
    else if (left) {
        apr_cpystrn(reader->secrets->old_token, token, sizeof(reader->secrets->old_token));
        reader->secrets->old_expires
            = reader->begun + apr_time_from_msec(apr_strtoi64(left, NULL, 10));
    }
    else {
        apr_cpystrn(reader->secrets->token, token, sizeof(reader->secrets->token));
    }
    OPENSSL_cleanse(token, sizeof(token));
}

/* Takes the account's signing keys. */
static void take_signing_keys(const secrets_reader *reader)
{
    int row;

    for (row = 0; row < sf_rows_count(reader->rows); row++) {
        if (*sf_rows_value(reader->rows, row, VARIABLE) == '\0') {
            take_signing_key(reader, row);
            reader->secrets->is_explained = 1; /* a key that cannot be decrypted was logged */
        }
    }
}


/* The secrets ------------------------------------------------------------------------------------ */

static int read_secrets(const sf_caller *caller, const sf_route *route, sf_signing_secrets *secrets)
{
    const char *values[] = { route->service, route->environment, route->account };
    secrets_reader reader = { caller, route, NULL, apr_time_now(), secrets };
    const sf_error *error = sf_db_run(caller, SF_STATEMENT_SIGNING_SECRETS, values, &reader.rows);
    int auth_token;

    if (error) {
        return error->status;
    }
    auth_token = find_variable(&reader, "AUTH_TOKEN");
    if (auth_token >= 0 && find_variable(&reader, "ACCOUNT_SID") >= 0) {
        take_variable(&reader, auth_token);
        secrets->is_explained = 1;
    }
    else {
        take_signing_keys(&reader);
    }
    return OK;
}

/* Logs once in each child that there are no keys. */
static void log_missing_keys(const sf_caller *caller)
{
    static apr_uint32_t logged;

    if (apr_atomic_xchg32(&logged, 1) == 0) {
        sf_log(caller, APLOG_WARNING, "SF0072",
               "protected paths are answered with 403: without ServerlessVariableKeys, signatures "
               "cannot be checked");
    }
}

int sf_signing_secrets_find(const sf_domain_request *request, sf_signing_secrets *secrets)
{
    const sf_caller caller = sf_caller_of(request->r);
    const cache_key key = key_of(request);
    int status;

    memset(secrets, 0, sizeof(*secrets));
    if (!sf_config_variable_keys()) {
        return OK;
    }
    if (sf_cache_find(cache, &key, secrets)) {
        return OK;
    }
    status = read_secrets(&caller, &request->route, secrets);
    if (status == OK) {
        sf_cache_keep(cache, &key, secrets);
    }
    return status;
}

void sf_signing_secrets_explain(const sf_domain_request *request, sf_signing_secrets *secrets)
{
    const sf_caller caller = sf_caller_of(request->r);
    const cache_key key = key_of(request);
    char environment[SF_SID_LENGTH + 1];
    char account[SF_SID_LENGTH + 1];

    if (*secrets->token || *secrets->old_token || secrets->is_explained) {
        return;
    }
    if (!sf_config_variable_keys()) {
        log_missing_keys(&caller);
        return;
    }
    sf_sid_write(environment, "ZE", request->route.environment);
    sf_sid_write(account, "AC", request->route.account);
    sf_log(&caller, APLOG_WARNING, "SF0071",
           "protected paths of %s are answered with 403: it has no Variables AUTH_TOKEN and "
           "ACCOUNT_SID, and %s has no signing key (serverless-admin signing-key create)",
           environment, account);
    secrets->is_explained = 1;
    sf_cache_keep(cache, &key, secrets);
}
