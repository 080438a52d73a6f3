/* One operation of the API is one statement, and its first column says what happened. */
#ifndef SF_OPERATION_H
#define SF_OPERATION_H

#include "core/api/resource.h"
#include "core/db/db.h"
#include "core/http/request.h"

/* Runs a statement for a request. Its parameters are the credential, the generation of its secret,
 * the SIDs of the path in order (a Service takes two: SID and UniqueName, one of them NULL), the kind
 * of artifact where the resource has one, then `values`. Returns NULL and the rows, or an error: 401
 * where the credential no longer holds, 404, 412, one of `outcomes` (may be NULL), or what sf_db_run
 * returns. */
const sf_error *sf_operation_run(sf_request *request, sf_statement_id id, int count,
                                 const char *const *values, const sf_outcome *outcomes,
                                 sf_rows **rows);

/* The same as one step of a transaction. */
const sf_error *sf_operation_step(sf_request *request, sf_transaction *transaction,
                                  sf_statement_id id, int count, const char *const *values,
                                  const sf_outcome *outcomes, sf_rows **rows);

/* For answers that need no statement: whether the credential holds, unless a statement of this
 * request has said so already. NULL, 401 or 503. */
const sf_error *sf_operation_check_credential(sf_request *request);

#endif
