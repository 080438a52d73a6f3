/* Encrypts Variables anew when the administrator has changed the key. */
#ifndef SF_REKEY_H
#define SF_REKEY_H

#include "core/caller.h"
#include "core/crypto/secret.h"

#include <apr_uuid.h>

/* How far a walk over all values that are to be encrypted anew has come; 0 is its beginning. */
typedef struct {
    int keys; /* how many, behind the first, it is through with */
    char service[APR_UUID_FORMATTED_LENGTH
                 + 1]; /* the Variable of the next that it goes on behind, */
    char variable[APR_UUID_FORMATTED_LENGTH + 1]; /* or "" */
    int damaged;                                  /* how many of that key cannot be decrypted */
    char first_damaged[SF_SECRET_CONTEXT];        /* one of them */
} sf_rekey_walk;

/* Looks at the next values, up to a hundred, of the caller's database that are encrypted with another of
 * the server's keys than the first, which they are encrypted with then; what somebody changes meanwhile
 * is left alone. Adds to `done` how many there are less now. Returns 1; 0 at the end of the walk, which
 * then begins anew; or -1 where the database fails, which has been logged. Any number of processes may
 * be at it at once. */
int sf_variables_rekey(const sf_caller *caller, sf_rekey_walk *walk, int *done);

#endif
