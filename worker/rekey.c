#include "worker/rekey.h"

#include "core/config.h"
#include "core/db.h"
#include "core/log.h"
#include "core/secret.h"

#include <apr_strings.h>
#include <http_log.h>
#include <openssl/crypto.h>

APLOG_USE_MODULE(serverless_functions);

#define BATCH 100

/* The columns of variable_sealed. */
enum { SERVICE, VARIABLE, ENVIRONMENT, SEALED };

/* One key's values, as far as one call gets with them. */
typedef struct {
    const sf_caller *caller;
    const sf_secret_key *key;
    int done;                              /* how many have the first key now */
    int damaged;                           /* how many cannot be decrypted */
    char first_damaged[SF_SECRET_CONTEXT]; /* one of them */
} sweep;

typedef enum { GOES_ON, FAILED } outcome;

/* Takes note of a value that its key does not open. It stays for whoever can mend it. */
static void skip(sweep *sweep, const char *context)
{
    if (sweep->damaged++ == 0) {
        apr_cpystrn(sweep->first_damaged, context, sizeof(sweep->first_damaged));
    }
}

static outcome replace(sweep *sweep, sf_rows *rows, int row, const char *sealed)
{
    const char *values[] = { sf_rows_value(rows, row, SERVICE), sf_rows_value(rows, row, VARIABLE),
                             sf_rows_value(rows, row, SEALED), sealed };
    sf_rows *replaced;

    if (sf_db_run(sweep->caller, SF_STATEMENT_VARIABLE_RESEAL, values, &replaced)) {
        return FAILED;
    }
    sweep->done += sf_rows_count(replaced); /* none, where somebody was faster */
    return GOES_ON;
}

static outcome rekey(sweep *sweep, sf_rows *rows, int row)
{
    char context[SF_SECRET_CONTEXT];
    char text[SF_SECRET_MAX + 1];
    const char *sealed;
    outcome outcome = GOES_ON;

    sf_secret_context(context, sf_rows_value(rows, row, ENVIRONMENT),
                      sf_rows_value(rows, row, VARIABLE));
    if (sf_secret_try(sf_variable_keys(), context, sf_rows_value(rows, row, SEALED), text)) {
        skip(sweep, context);
    }
    else if (sf_secret_seal(sweep->caller, context, text, &sealed)) {
        outcome = FAILED;
    }
    else {
        outcome = replace(sweep, rows, row, sealed);
    }
    OPENSSL_cleanse(text, sizeof(text));
    return outcome;
}

/* Page after page, until as many as make a batch are done: what cannot be, must not hide the rest. */
static outcome rekey_all(sweep *sweep)
{
    static const char none[] = "00000000-0000-0000-0000-000000000000";
    const char *values[] = { sweep->key->id, none, none, APR_STRINGIFY(BATCH) };
    outcome outcome = GOES_ON;
    sf_rows *rows;
    int i;

    do {
        if (sf_db_run(sweep->caller, SF_STATEMENT_VARIABLE_SEALED, values, &rows)) {
            return FAILED;
        }
        for (i = 0; i < sf_rows_count(rows) && outcome == GOES_ON; i++) {
            outcome = rekey(sweep, rows, i);
            values[1] = sf_rows_value(rows, i, SERVICE);
            values[2] = sf_rows_value(rows, i, VARIABLE);
        }
    } while (outcome == GOES_ON && sf_rows_count(rows) == BATCH && sweep->done == 0);
    return outcome;
}

int sf_variables_rekey(const sf_caller *caller)
{
    const sf_secret_keys *keys = sf_variable_keys();
    int i;

    for (i = 1; keys && i < keys->count; i++) {
        sweep sweep = { caller, &keys->key[i], 0, 0, "" };
        const outcome outcome = rekey_all(&sweep);

        if (sweep.damaged > 0) {
            sf_log(caller, APLOG_WARNING, "SF0019",
                   "%d values keep the key \"%s\", because they cannot be decrypted: see SF0018; "
                   "one is %s",
                   sweep.damaged, sweep.key->id, sweep.first_damaged);
        }
        if (outcome == FAILED || sweep.done > 0) {
            return outcome == FAILED ? -1 : sweep.done;
        }
    }
    return 0;
}
