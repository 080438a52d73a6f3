/* Runs the statement of an operation. One operation of the API is one statement. Its first column
 * is the outcome, a word that becomes the answer's status. */
#ifndef SF_OPERATION_H
#define SF_OPERATION_H

#include "core/api/resource.h"
#include "core/db/db.h"
#include "core/http/request.h"

/* The parameters that tell a statement where it works. They follow the credential. A Service takes
 * two, its SID and its UniqueName, one of them NULL; each further SID of a path takes one; the
 * last one is the artifact's kind ("function" or "asset"), for resources that have one. */
#define SF_SCOPE_MAX (SF_PATH_SIDS + 2)

typedef struct {
    int count;
    const char *values[SF_SCOPE_MAX];
} sf_scope;

/* The empty scope, of statements that concern only the credential and its account. */
extern const sf_scope sf_scope_none;

/* The scope that the request's path names. */
sf_scope sf_scope_of_path(const sf_request *request);

/* The scope of one resource in the collection that the request's path names. `uuid` is the
 * resource's own SID as PostgreSQL prints it. */
sf_scope sf_scope_of_member(const sf_request *request, const char *uuid);

/* A statement with all that it takes besides the credential. */
typedef struct {
    sf_statement_id statement;
    sf_scope scope;
    int count; /* of `values` */
    const char *const *values;
    const sf_outcome *outcomes; /* its own ones, or NULL */
} sf_operation;

/* Runs an operation. The statement gets the credential, the generation of its secret, the scope
 * and the values, in this order; where the path names the Service by UniqueName, its variant for
 * that runs.
 *
 * Returns NULL and the rows, or an error: 401 if the credential no longer holds, 404, 412, one of
 * the operation's outcomes, or an error of sf_db_run(). */
const sf_error *sf_operation_run(sf_request *request, const sf_operation *operation,
                                 sf_rows **rows);

/* Runs an operation as one step of a transaction. Returns as sf_operation_run(). */
const sf_error *sf_operation_step(sf_request *request, sf_transaction *transaction,
                                  const sf_operation *operation, sf_rows **rows);

/* Checks the credential for an answer that needs no statement; does nothing if a statement of this
 * request has checked it. Returns NULL, 401 or 503. */
const sf_error *sf_operation_check_credential(sf_request *request);

#endif
