/* The maintenance tasks that encrypt values again when the administrator has changed the key: those of
 * Variables, and signing keys. */
#ifndef SF_REKEY_H
#define SF_REKEY_H

#include "core/caller.h"
#include "core/crypto/secret.h"
#include "core/sid.h"
#include "worker/maintenance_task.h"

/* The position of a walk over all values with an old key, in the order of keys, owners (Services or
 * accounts) and ids. All zeros is the beginning. */
typedef struct {
    int finished_keys;              /* old keys that the walk is through with */
    char owner[SF_UUID_LENGTH + 1]; /* the last value of the next key, or "" */
    char id[SF_UUID_LENGTH + 1];
    int damaged;                           /* values of the next key that cannot be decrypted */
    char first_damaged[SF_SECRET_CONTEXT]; /* the first of them */
} sf_rekey_walk;

/* Does one batch: reads up to 100 values of the caller's database that are encrypted with
 * another of the server's keys than the first, and encrypts them with the first. A value that
 * changes meanwhile stays as it is: its writer used the first key. Adds the number of encrypted
 * values to `rows`. SF_TASK_DONE is the end of the walk, which begins again with the next batch.
 * Several processes may do batches at once. */
sf_task_result sf_variables_rekey(const sf_caller *caller, sf_rekey_walk *walk, int *rows);

/* The same for signing keys. */
sf_task_result sf_signing_keys_rekey(const sf_caller *caller, sf_rekey_walk *walk, int *rows);

#endif
