#include "core/api/idempotency.h"

#include "core/api/operation.h"
#include "core/api/resource.h"
#include "core/crypto/sha256.h"

#include <apr_lib.h>
#include <string.h>

#define HEADER "Idempotency-Key"
#define KEY_MAX 255

static const sf_outcome outcomes[] = {
    { .name = "key_reused",
      .status = HTTP_CONFLICT,
      .message = HEADER " was already used for another request" },
    { .name = NULL },
};

/* One creation under a key. */
typedef struct {
    sf_request *request;
    char key[SF_SHA256_HEX + 1]; /* its hash, in hex */
    char fingerprint[SF_SHA256_HEX + 1];
    sf_steps *create;
    void *data;
    sf_rows **rows;
    int replayed; /* what was created before has been fetched */
} creation;

int sf_idempotency_wanted(const sf_request *request)
{
    return apr_table_get(request->r->headers_in, HEADER) != NULL;
}


/* Hashes ----------------------------------------------------------------------------------------- */

/* A text with its end, so that two of them cannot be taken for others; NULL is none. */
static void add(sf_sha256 *hash, const char *text)
{
    sf_sha256_add(hash, text ? "+" : "-", 1);
    sf_sha256_add(hash, text ? text : "", text ? strlen(text) + 1 : 1);
}

static const sf_error *end(const creation *creation, sf_sha256 *hash, char hex[SF_SHA256_HEX + 1])
{
    request_rec *r = creation->request->r;
    const sf_caller caller = sf_caller_of(r);

    return sf_sha256_end(hash, hex) ? NULL : sf_sha256_failed(&caller);
}

static const sf_error *recognize(creation *creation, int count, const char *const *contents)
{
    sf_sha256 hash;
    int i;

    sf_sha256_begin(&hash, creation->request->r->pool);
    add(&hash, sf_request_path(creation->request));
    for (i = 0; i < count; i++) {
        add(&hash, contents[i]);
    }
    return end(creation, &hash, creation->fingerprint);
}

static const sf_error *read_key(creation *creation)
{
    apr_pool_t *pool = creation->request->r->pool;
    const char *key = apr_table_get(creation->request->r->headers_in, HEADER);
    const char *at = key;
    sf_sha256 hash;

    while (apr_isprint(*at)) {
        at++;
    }
    if (*at || at == key || at - key > KEY_MAX) {
        return sf_error_bad_request(pool, HEADER " must be of 1 to %d printable ASCII characters",
                                    KEY_MAX);
    }
    sf_sha256_begin(&hash, pool);
    add(&hash, key);
    return end(creation, &hash, creation->key);
}


/* Steps ------------------------------------------------------------------------------------------ */

/* The SID that the statement names, as one more at the end of the request's path. */
static const sf_error *fetch(sf_transaction *transaction, const creation *creation,
                             const char *resource_id, sf_rows **rows)
{
    sf_request whole = *creation->request;
    char sid[SF_SID_LENGTH + 1];

    sf_sid_write(sid, "  ", resource_id);
    memcpy(whole.sid[whole.sids++], sid + SF_SID_PREFIX, SF_SID_DIGITS + 1);
    return sf_operation_step(&whole, transaction, whole.resource->fetch.statement, 0, NULL, NULL,
                             rows);
}

/* A statement about the key, which takes nothing of the request's path. */
static const sf_error *step(sf_transaction *transaction, const creation *creation,
                            sf_statement_id id, int count, const char *const *values,
                            sf_rows **rows)
{
    sf_request bare = *creation->request;

    bare.sids = 0;
    bare.resource = NULL;
    return sf_operation_step(&bare, transaction, id, count, values, outcomes, rows);
}

static const sf_error *record(sf_transaction *transaction, const creation *creation)
{
    const sf_resource *resource = creation->request->resource;
    sf_rows *rows = *creation->rows;
    const char *values[]
        = { creation->key, sf_rows_value(rows, 0, sf_resource_column(resource, "ZS")),
            sf_rows_value(rows, 0, sf_resource_key_column(resource)) };

    return step(transaction, creation, SF_STATEMENT_IDEMPOTENCY_KEY_RECORD, 3, values, &rows);
}

/* What was created before and has been deleted since is created anew. */
static const sf_error *create_once(sf_transaction *transaction, void *data)
{
    creation *creation = data;
    const char *values[] = { creation->key, creation->fingerprint };
    const char *before;
    sf_rows *rows;
    const sf_error *error
        = step(transaction, creation, SF_STATEMENT_IDEMPOTENCY_KEY_CLAIM, 2, values, &rows);

    creation->replayed = 0; /* what an attempt before this one has found does not count */
    if (error) {
        return error;
    }
    before = sf_rows_value(rows, 0, 1);
    if (before) {
        error = fetch(transaction, creation, before, creation->rows);
        creation->replayed = !error;
        if (!error || error->status != HTTP_NOT_FOUND) {
            return error;
        }
    }
    error = creation->create(transaction, creation->data);
    return error ? error : record(transaction, creation);
}

const sf_error *sf_idempotency_create(sf_request *request, int count, const char *const *contents,
                                      sf_steps *create, void *data, sf_rows **rows)
{
    const sf_caller caller = sf_caller_of(request->r);
    creation creation = { .request = request, .create = create, .data = data, .rows = rows };
    const sf_error *error;

    if (!sf_idempotency_wanted(request)) {
        return sf_db_transaction(&caller, create, data);
    }
    error = read_key(&creation);
    error = error ? error : recognize(&creation, count, contents);
    error = error ? error : sf_db_transaction(&caller, create_once, &creation);
    if (!error && creation.replayed) {
        apr_table_setn(request->r->headers_out, "Idempotent-Replayed", "true");
    }
    return error;
}
