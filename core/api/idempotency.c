#include "core/api/idempotency.h"

#include "core/api/operation.h"
#include "core/api/resource.h"
#include "core/crypto/sha256_error.h"

#include <apr_lib.h>
#include <string.h>

#define HEADER "Idempotency-Key"
#define KEY_MAX 255

/* The columns of idempotency_key_claim. */
enum { CLAIM_OUTCOME, CLAIM_RESOURCE };

static const sf_outcome key_outcomes[] = {
    { .name = "key_reused",
      .status = HTTP_CONFLICT,
      .message = HEADER " was already used for another request" },
    { .name = NULL },
};

int sf_idempotency_is_wanted(const sf_request *request)
{
    return apr_table_get(request->r->headers_in, HEADER) != NULL;
}


/* Hashes ----------------------------------------------------------------------------------------- */

/* Adds a text, or NULL, with its terminating NUL: so no two lists of texts have the same bytes. */
static void hash_text(sf_sha256 *hash, const char *text)
{
    sf_sha256_add(hash, text ? "+" : "-", 1);
    sf_sha256_add(hash, text ? text : "", text ? strlen(text) + 1 : 1);
}

static const sf_error *finish_hash(const sf_request *request, sf_sha256 *hash,
                                   char hex[SF_SHA256_HEX + 1])
{
    const sf_caller caller = sf_caller_of(request->r);

    return sf_sha256_end(hash, hex) ? NULL : sf_sha256_failed(&caller);
}

static const sf_error *hash_request(sf_idempotency *once, int count, const char *const *parameters)
{
    sf_sha256 hash;
    int i;

    sf_sha256_begin(&hash, once->request->r->pool);
    hash_text(&hash, sf_request_path(once->request));
    for (i = 0; i < count; i++) {
        hash_text(&hash, parameters[i]);
    }
    return finish_hash(once->request, &hash, once->fingerprint);
}

static const sf_error *hash_key(sf_idempotency *once, const char *key)
{
    sf_sha256 hash;

    sf_sha256_begin(&hash, once->request->r->pool);
    hash_text(&hash, key);
    return finish_hash(once->request, &hash, once->key);
}

static int is_key(const char *text)
{
    const char *end = text;

    while (apr_isprint(*end)) {
        end++;
    }
    return !*end && end > text && end - text <= KEY_MAX;
}

const sf_error *sf_idempotency_read(sf_idempotency *once, sf_request *request, int count,
                                    const char *const *parameters)
{
    const char *key = apr_table_get(request->r->headers_in, HEADER);

    once->request = request;
    once->has_key = key != NULL;
    once->is_replayed = 0;
    if (!key) {
        return NULL;
    }
    if (!is_key(key)) {
        return sf_error_bad_request(
            request->r->pool, HEADER " must be of 1 to %d printable ASCII characters", KEY_MAX);
    }
    SF_TRY(hash_key(once, key));
    return hash_request(once, count, parameters);
}


/* Steps ------------------------------------------------------------------------------------------ */

/* Fetches the resource that the key has created; no rows if it has been deleted since. */
static const sf_error *fetch_created(sf_idempotency *once, sf_transaction *transaction,
                                     const char *uuid, sf_rows **rows)
{
    const sf_operation fetch = { .statement = once->request->resource->fetch.statement,
                                 .scope = sf_scope_of_member(once->request, uuid) };
    const sf_error *error = sf_operation_step(once->request, transaction, &fetch, rows);

    once->is_replayed = !error;
    if (error && error->status == HTTP_NOT_FOUND) {
        *rows = NULL;
        return NULL;
    }
    return error;
}

const sf_error *sf_idempotency_claim(sf_idempotency *once, sf_transaction *transaction,
                                     sf_rows **rows)
{
    const char *values[] = { once->key, once->fingerprint };
    const sf_operation claim
        = { .statement = SF_STATEMENT_IDEMPOTENCY_KEY_CLAIM,
            .scope = sf_scope_none,
            .count = 2,
            .values = values,
            .outcomes = key_outcomes,
            .has_route_wait = once->request->resource->route_changes & SF_ON_CREATE };
    const char *created;
    sf_rows *claimed;

    *rows = NULL;
    once->is_replayed = 0; /* an earlier attempt of this transaction may have set it */
    if (!once->has_key) {
        return NULL;
    }
    SF_TRY(sf_operation_step(once->request, transaction, &claim, &claimed));
    created = sf_rows_value(claimed, 0, CLAIM_RESOURCE);
    return created ? fetch_created(once, transaction, created, rows) : NULL;
}

const sf_error *sf_idempotency_record(sf_idempotency *once, sf_transaction *transaction,
                                      sf_rows *rows)
{
    const sf_resource *resource = once->request->resource;
    const char *values[] = { once->key, sf_rows_value(rows, 0, sf_resource_column(resource, "ZS")),
                             sf_rows_value(rows, 0, SF_COLUMN_SID) };
    const sf_operation record = { .statement = SF_STATEMENT_IDEMPOTENCY_KEY_RECORD,
                                  .scope = sf_scope_none,
                                  .count = 3,
                                  .values = values };
    sf_rows *recorded;

    return once->has_key ? sf_operation_step(once->request, transaction, &record, &recorded) : NULL;
}

void sf_idempotency_set_header(const sf_idempotency *once)
{
    if (once->is_replayed) {
        apr_table_setn(once->request->r->headers_out, "Idempotent-Replayed", "true");
    }
}
