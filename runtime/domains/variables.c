#include "runtime/domains/variables.h"

#include "core/config.h"
#include "core/crypto/secret.h"
#include "core/db/db.h"
#include "core/guarded_pool.h"
#include "runtime/domains/signing_secrets.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <openssl/crypto.h>
#include <string.h>

/* The most bytes that a child keeps. A full cache is emptied. */
#define CACHE_BYTES ((apr_size_t)4 * 1024 * 1024)

/* The columns of context_variables. */
enum { KEY, ID, SEALED };

/* A changed Variable and a changed signing key renew the context tag, so that an entry never changes. The other
 * members are a part of the key because a Service may pass to another account, and IncludeCredentials may change,
 * without a new tag. */
typedef struct {
    int database;
    int include_credentials;
    char environment[SF_UUID_LENGTH + 1];
    char account[SF_UUID_LENGTH + 1];
    char context_tag[SF_UUID_LENGTH + 1];
} cache_key;

typedef struct {
    cache_key key;
    apr_size_t length;
    char text[]; /* the members, as JSON */
} cache_entry;

/* The mutex guards all of it. */
static struct {
    apr_thread_mutex_t *mutex;
    apr_pool_t *pool;
    apr_hash_t *entries;
    apr_size_t bytes;
} cache;

static apr_status_t wipe(void *data)
{
    apr_hash_index_t *at;

    (void)data;
    for (at = apr_hash_first(NULL, cache.entries); at; at = apr_hash_next(at)) {
        cache_entry *entry = apr_hash_this_val(at);

        OPENSSL_cleanse(entry->text, entry->length);
    }
    return APR_SUCCESS;
}

static void make_entries(void)
{
    cache.entries = apr_hash_make(cache.pool);
    cache.bytes = 0;
    apr_pool_cleanup_register(cache.pool, NULL, wipe, apr_pool_cleanup_null);
}

apr_status_t sf_variables_init(apr_pool_t *pool)
{
    const apr_status_t rv = sf_guarded_pool_make(pool, &cache.mutex, &cache.pool);

    if (rv == APR_SUCCESS) {
        make_entries();
    }
    return rv;
}

static cache_key key_of(const sf_domain_request *request)
{
    cache_key key;

    memset(&key, 0, sizeof(key));
    key.database = sf_config_database(request->r->server);
    key.include_credentials = request->route.include_credentials;
    apr_cpystrn(key.environment, request->route.environment, sizeof(key.environment));
    apr_cpystrn(key.account, request->route.account, sizeof(key.account));
    apr_cpystrn(key.context_tag, request->route.context_tag, sizeof(key.context_tag));
    return key;
}

/* Writes the entry of a key. Returns 0 where there is none. */
static int write_kept(const cache_key *key, sf_json_writer *writer)
{
    const cache_entry *entry;

    apr_thread_mutex_lock(cache.mutex);
    entry = apr_hash_get(cache.entries, key, sizeof(*key));
    if (entry) {
        sf_json_write(writer, entry->text, entry->length);
    }
    apr_thread_mutex_unlock(cache.mutex);
    return entry != NULL;
}

static void keep(const cache_key *key, const char *text, apr_size_t length)
{
    const apr_size_t size = sizeof(cache_entry) + length;
    cache_entry *entry;

    if (size > CACHE_BYTES) {
        return;
    }
    apr_thread_mutex_lock(cache.mutex);
    if (cache.bytes + size > CACHE_BYTES) {
        apr_pool_clear(cache.pool);
        make_entries();
    }
    if (!apr_hash_get(cache.entries, key, sizeof(*key))) {
        entry = apr_palloc(cache.pool, size);
        entry->key = *key;
        entry->length = length;
        memcpy(entry->text, text, length);
        apr_hash_set(cache.entries, &entry->key, sizeof(entry->key), entry);
        cache.bytes += size;
    }
    apr_thread_mutex_unlock(cache.mutex);
}


/* Reading ---------------------------------------------------------------------------------------- */

/* Writes the Variable of a row. Returns 0 where it cannot be decrypted. */
static int write_variable(const sf_domain_request *request, sf_rows *rows, int row,
                          sf_json_writer *writer)
{
    const sf_caller caller = sf_caller_of(request->r);
    char context[SF_SECRET_CONTEXT];
    char value[SF_SECRET_MAX + 1];
    const sf_error *error;

    sf_secret_context(context, request->route.environment, sf_rows_value(rows, row, ID));
    error = sf_secret_open(&caller, context, sf_rows_value(rows, row, SEALED), value);
    if (!error) {
        sf_json_write_text(writer, row > 0 ? "," : "");
        sf_json_write_string(writer, sf_rows_value(rows, row, KEY));
        sf_json_write_text(writer, ":");
        sf_json_write_string(writer, value);
    }
    OPENSSL_cleanse(value, sizeof(value));
    return !error;
}

static int has_variable(sf_rows *rows, const char *name)
{
    int row = sf_rows_count(rows) - 1;

    while (row >= 0 && strcmp(sf_rows_value(rows, row, KEY), name) != 0) {
        row--;
    }
    return row >= 0;
}

/* Writes the account and the signing token of its Service, or nulls: without IncludeCredentials; where the
 * Environment's own Variables ACCOUNT_SID and AUTH_TOKEN are in their place; and without a signing key. */
static int write_credentials(const sf_domain_request *request, sf_rows *rows,
                             sf_json_writer *writer)
{
    char account[SF_SID_LENGTH + 1];
    sf_signing_secrets secrets = { .token = "" };
    int status = OK;

    if (request->route.include_credentials
        && !(has_variable(rows, "ACCOUNT_SID") && has_variable(rows, "AUTH_TOKEN"))) {
        status = sf_signing_secrets_find(request, &secrets);
    }
    sf_sid_write(account, "AC", request->route.account);
    sf_json_write_text(writer, "\"account\":");
    sf_json_write_string(writer, *secrets.token ? account : NULL);
    sf_json_write_text(writer, ",\"token\":");
    sf_json_write_string(writer, *secrets.token ? secrets.token : NULL);
    OPENSSL_cleanse(&secrets, sizeof(secrets));
    return status;
}

/* Writes the members from the database. */
static int write_read(const sf_domain_request *request, sf_json_writer *writer)
{
    const sf_caller caller = sf_caller_of(request->r);
    const char *values[] = { request->route.service, request->route.environment };
    sf_rows *rows;
    int status;
    int row;

    if (sf_db_run(&caller, SF_STATEMENT_CONTEXT_VARIABLES, values, &rows)) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    status = write_credentials(request, rows, writer);
    sf_json_write_text(writer, ",\"variables\":{");
    for (row = 0; row < sf_rows_count(rows) && status == OK; row++) {
        if (!write_variable(request, rows, row, writer)) {
            status = HTTP_SERVICE_UNAVAILABLE;
        }
    }
    sf_json_write_text(writer, "}");
    return status;
}

int sf_variables_write(const sf_domain_request *request, sf_json_writer *writer)
{
    const cache_key key = key_of(request);
    const apr_size_t begin = writer->length;
    int status;

    if (write_kept(&key, writer)) {
        return OK;
    }
    status = write_read(request, writer);
    if (status == OK) {
        keep(&key, writer->text + begin, writer->length - begin);
    }
    return status;
}
