/* Creating once. A client that sends Idempotency-Key with a create may send it again: it gets what the
 * first has created, as that is now, also where both arrive at once. A key is its account's and lives
 * for 24 hours; what fails is forgotten, and may be tried again under the same key. */
#ifndef SF_IDEMPOTENCY_H
#define SF_IDEMPOTENCY_H

#include "core/db/db.h"
#include "core/http/request.h"

/* Whether the request has a key. */
int sf_idempotency_wanted(const sf_request *request);

/* Runs `create`, which leaves the request's new resource in `rows`, in a transaction; or, where the
 * request's key has created one before, fetches that. The `count` texts of `contents` (NULL for one
 * that was not given) are what the request creates it from: by them, and its path, it is recognized.
 * Returns NULL, or an error: 400 for a malformed key, 409 for one that another request had, or what
 * `create` and sf_db_transaction() return. */
const sf_error *sf_idempotency_create(sf_request *request, int count, const char *const *contents,
                                      sf_steps *create, void *data, sf_rows **rows);

#endif
