#include "core/idempotency.h"

#include "core/operation.h"
#include "core/resource.h"

#include <apr_lib.h>
#include <openssl/evp.h>
#include <string.h>

#define HEADER "Idempotency-Key"
#define KEY_MAX 255
#define SHA256_BYTES 32

static const sf_outcome outcomes[] = {
    { "key_reused", HTTP_CONFLICT, HEADER " was already used for another request", .details = 0 },
    { .name = NULL },
};

/* One creation under a key. */
typedef struct {
    sf_request *request;
    char key[2 * SHA256_BYTES + 1]; /* its hash, in hex */
    char fingerprint[2 * SHA256_BYTES + 1];
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

static void finish(EVP_MD_CTX *digest, char hex[2 * SHA256_BYTES + 1])
{
    unsigned char bytes[SHA256_BYTES];

    EVP_DigestFinal_ex(digest, bytes, NULL);
    EVP_MD_CTX_free(digest);
    ap_bin2hex(bytes, SHA256_BYTES, hex);
}

static EVP_MD_CTX *begin(void)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();

    EVP_DigestInit_ex(digest, EVP_sha256(), NULL);
    return digest;
}

/* A text with its end, so that two of them cannot be taken for others; NULL is none. */
static void add(EVP_MD_CTX *digest, const char *text)
{
    EVP_DigestUpdate(digest, text ? "+" : "-", 1);
    EVP_DigestUpdate(digest, text ? text : "", text ? strlen(text) + 1 : 1);
}

static void recognize(creation *creation, int count, const char *const *contents)
{
    EVP_MD_CTX *digest = begin();
    int i;

    add(digest, sf_request_path(creation->request));
    for (i = 0; i < count; i++) {
        add(digest, contents[i]);
    }
    finish(digest, creation->fingerprint);
}

static const sf_error *read_key(creation *creation)
{
    const char *key = apr_table_get(creation->request->r->headers_in, HEADER);
    const char *at = key;
    EVP_MD_CTX *digest;

    while (apr_isprint(*at)) {
        at++;
    }
    if (*at || at == key || at - key > KEY_MAX) {
        return sf_error_make(creation->request->r->pool, HTTP_BAD_REQUEST,
                             HEADER " must be of 1 to %d printable ASCII characters", KEY_MAX);
    }
    digest = begin();
    add(digest, key);
    finish(digest, creation->key);
    return NULL;
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
    const sf_caller caller = { request->r->pool, request->r->server, request->r };
    creation creation = { .request = request, .create = create, .data = data, .rows = rows };
    const sf_error *error;

    if (!sf_idempotency_wanted(request)) {
        return sf_db_transaction(&caller, create, data);
    }
    error = read_key(&creation);
    if (error) {
        return error;
    }
    recognize(&creation, count, contents);
    error = sf_db_transaction(&caller, create_once, &creation);
    if (!error && creation.replayed) {
        apr_table_setn(request->r->headers_out, "Idempotent-Replayed", "true");
    }
    return error;
}
