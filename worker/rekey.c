#include "worker/rekey.h"

#include "core/config.h"
#include "core/crypto/signing_key.h"
#include "core/db/db.h"
#include "core/log.h"

#include <apr_strings.h>
#include <http_log.h>
#include <openssl/crypto.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

#define BATCH_ROWS 100

/* The columns of variable_sealed and signing_key_sealed. */
enum { OWNER, ID, BOUND_TO, SEALED };

/* Values in one table. */
typedef struct {
    sf_statement_id read;
    sf_statement_id write;
    void (*context)(char *to, const char *bound_to, const char *id); /* writes a value's context */
} sealed_table;

/* One batch of values. */
typedef struct {
    const sealed_table *table;
    const sf_caller *caller;
    sf_rekey_walk *walk;
    sf_rows *values;
    int replaced; /* values that have the first key now */
} rekey_batch;

typedef enum { REKEY_NEXT, REKEY_FAILED } rekey_result;

/* Counts a value that its key does not open. The value stays as it is. */
static void note_damaged(sf_rekey_walk *walk, const char *context)
{
    if (walk->damaged == 0) {
        apr_cpystrn(walk->first_damaged, context, sizeof(walk->first_damaged));
    }
    walk->damaged++;
}

/* Writes a value that was encrypted again, if it is still the one that was read. */
static rekey_result replace_value(rekey_batch *batch, int row, const char *sealed)
{
    const char *values[]
        = { sf_rows_value(batch->values, row, OWNER), sf_rows_value(batch->values, row, ID),
            sf_rows_value(batch->values, row, SEALED), sealed };
    sf_rows *replaced;

    if (sf_db_run(batch->caller, batch->table->write, values, &replaced)) {
        return REKEY_FAILED;
    }
    batch->replaced += sf_rows_count(replaced);
    return REKEY_NEXT;
}

/* Decrypts a value, encrypts it with the first key and writes it. */
static rekey_result rekey_value(rekey_batch *batch, int row)
{
    char context[SF_SECRET_CONTEXT];
    char text[SF_SECRET_MAX + 1];
    const char *sealed;
    rekey_result result = REKEY_NEXT;

    batch->table->context(context, sf_rows_value(batch->values, row, BOUND_TO),
                          sf_rows_value(batch->values, row, ID));
    if (sf_sealed_open(sf_config_variable_keys(), context,
                       sf_rows_value(batch->values, row, SEALED), text)) {
        note_damaged(batch->walk, context);
    }
    else if (sf_secret_seal(batch->caller, context, text, &sealed)) {
        result = REKEY_FAILED;
    }
    else {
        result = replace_value(batch, row, sealed);
    }
    OPENSSL_cleanse(text, sizeof(text));
    return result;
}

/* Does a batch of values with the key `key`. The walk moves past each value, damaged ones
 * included, so that these do not keep the rest from being reached. Sets `count` to the number of
 * values that were read. */
static rekey_result rekey_values(rekey_batch *batch, const sf_encryption_key *key, int *count)
{
    static const char lowest[] = "00000000-0000-0000-0000-000000000000";
    sf_rekey_walk *walk = batch->walk;
    const char *values[] = { key->id, *walk->owner ? walk->owner : lowest,
                             *walk->id ? walk->id : lowest, APR_STRINGIFY(BATCH_ROWS) };
    int row;

    if (sf_db_run(batch->caller, batch->table->read, values, &batch->values)) {
        return REKEY_FAILED;
    }
    *count = sf_rows_count(batch->values);
    for (row = 0; row < *count; row++) {
        if (rekey_value(batch, row) == REKEY_FAILED) {
            return REKEY_FAILED;
        }
        apr_cpystrn(walk->owner, sf_rows_value(batch->values, row, OWNER), sizeof(walk->owner));
        apr_cpystrn(walk->id, sf_rows_value(batch->values, row, ID), sizeof(walk->id));
    }
    return REKEY_NEXT;
}

/* Ends the walk over the values of one key. Logs those that cannot be decrypted. */
static void finish_key(const sf_caller *caller, sf_rekey_walk *walk, const sf_encryption_key *key)
{
    const int finished_keys = walk->finished_keys + 1;

    if (walk->damaged > 0) {
        sf_log(caller, APLOG_WARNING, "SF0019",
               "%d values keep the key \"%s\", because they cannot be decrypted: see SF0018; one "
               "is %s",
               walk->damaged, key->id, walk->first_damaged);
    }
    memset(walk, 0, sizeof(*walk));
    walk->finished_keys = finished_keys;
}

static sf_task_result rekey_table(const sealed_table *table, const sf_caller *caller,
                                  sf_rekey_walk *walk, int *rows)
{
    const sf_keyring *keys = sf_config_variable_keys();

    while (keys && walk->finished_keys + 1 < keys->count) {
        const sf_encryption_key *key = &keys->key[walk->finished_keys + 1];
        rekey_batch batch = { table, caller, walk, NULL, 0 };
        int count = 0;
        const rekey_result result = rekey_values(&batch, key, &count);

        *rows += batch.replaced;
        if (result == REKEY_FAILED) {
            return SF_TASK_FAILED;
        }
        if (count > 0) {
            return SF_TASK_MORE;
        }
        finish_key(caller, walk, key);
    }
    walk->finished_keys = 0;
    return SF_TASK_DONE;
}

sf_task_result sf_variables_rekey(const sf_caller *caller, sf_rekey_walk *walk, int *rows)
{
    static const sealed_table variables
        = { SF_STATEMENT_VARIABLE_SEALED, SF_STATEMENT_VARIABLE_RESEAL, sf_secret_context };

    return rekey_table(&variables, caller, walk, rows);
}

sf_task_result sf_signing_keys_rekey(const sf_caller *caller, sf_rekey_walk *walk, int *rows)
{
    static const sealed_table signing_keys
        = { SF_STATEMENT_SIGNING_KEY_SEALED, SF_STATEMENT_SIGNING_KEY_RESEAL,
            sf_signing_key_context };

    return rekey_table(&signing_keys, caller, walk, rows);
}
