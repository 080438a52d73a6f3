#include "worker/rekey.h"

#include "core/config.h"
#include "core/db/db.h"
#include "core/log.h"

#include <apr_strings.h>
#include <http_log.h>
#include <openssl/crypto.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

#define BATCH 100

/* The columns of variable_sealed. */
enum { SERVICE, VARIABLE, ENVIRONMENT, SEALED };

/* A page of values. */
typedef struct {
    const sf_caller *caller;
    sf_rekey_walk *walk;
    sf_rows *rows;
    int done; /* how many have the first key now */
} page;

typedef enum { GOES_ON, FAILED } outcome;

/* Takes note of a value that its key does not open. It stays for whoever can mend it. */
static void skip(sf_rekey_walk *walk, const char *context)
{
    if (walk->damaged++ == 0) {
        apr_cpystrn(walk->first_damaged, context, sizeof(walk->first_damaged));
    }
}

static outcome replace(page *page, int row, const char *sealed)
{
    const char *values[]
        = { sf_rows_value(page->rows, row, SERVICE), sf_rows_value(page->rows, row, VARIABLE),
            sf_rows_value(page->rows, row, SEALED), sealed };
    sf_rows *replaced;

    if (sf_db_run(page->caller, SF_STATEMENT_VARIABLE_RESEAL, values, &replaced)) {
        return FAILED;
    }
    page->done += sf_rows_count(replaced); /* none, where somebody was faster */
    return GOES_ON;
}

static outcome rekey(page *page, int row)
{
    char context[SF_SECRET_CONTEXT];
    char text[SF_SECRET_MAX + 1];
    const char *sealed;
    outcome outcome = GOES_ON;

    sf_secret_context(context, sf_rows_value(page->rows, row, ENVIRONMENT),
                      sf_rows_value(page->rows, row, VARIABLE));
    if (sf_secret_try(sf_config_variable_keys(), context, sf_rows_value(page->rows, row, SEALED),
                      text)) {
        skip(page->walk, context);
    }
    else if (sf_secret_seal(page->caller, context, text, &sealed)) {
        outcome = FAILED;
    }
    else {
        outcome = replace(page, row, sealed);
    }
    OPENSSL_cleanse(text, sizeof(text));
    return outcome;
}

/* The next values of a key. It goes on behind each of them: what cannot be decrypted must not hide the
 * rest. Returns how many there were, or -1. */
static int rekey_page(page *page, const sf_encryption_key *key)
{
    static const char none[] = "00000000-0000-0000-0000-000000000000";
    sf_rekey_walk *walk = page->walk;
    const char *values[] = { key->id, *walk->service ? walk->service : none,
                             *walk->variable ? walk->variable : none, APR_STRINGIFY(BATCH) };
    int i;

    if (sf_db_run(page->caller, SF_STATEMENT_VARIABLE_SEALED, values, &page->rows)) {
        return -1;
    }
    for (i = 0; i < sf_rows_count(page->rows); i++) {
        if (rekey(page, i) == FAILED) {
            return -1;
        }
        apr_cpystrn(walk->service, sf_rows_value(page->rows, i, SERVICE), sizeof(walk->service));
        apr_cpystrn(walk->variable, sf_rows_value(page->rows, i, VARIABLE), sizeof(walk->variable));
    }
    return i;
}

/* All of a key's values have been looked at. */
static void leave(const sf_caller *caller, sf_rekey_walk *walk, const sf_encryption_key *key)
{
    const int keys = walk->keys + 1;

    if (walk->damaged > 0) {
        sf_log(caller, APLOG_WARNING, "SF0019",
               "%d values keep the key \"%s\", because they cannot be decrypted: see SF0018; one "
               "is %s",
               walk->damaged, key->id, walk->first_damaged);
    }
    memset(walk, 0, sizeof(*walk));
    walk->keys = keys;
}

int sf_variables_rekey(const sf_caller *caller, sf_rekey_walk *walk, int *done)
{
    const sf_keyring *keys = sf_config_variable_keys();

    while (keys && walk->keys + 1 < keys->count) {
        const sf_encryption_key *key = &keys->key[walk->keys + 1];
        page page = { caller, walk, NULL, 0 };
        const int count = rekey_page(&page, key);

        *done += page.done;
        if (count != 0) {
            return count < 0 ? -1 : 1;
        }
        leave(caller, walk, key);
    }
    walk->keys = 0;
    return 0;
}
