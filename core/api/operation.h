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
    int has_route_wait;         /* its last column is route_wait: see below */
} sf_operation;

/* Runs an operation. The statement gets the credential, the generation of its secret, the scope
 * and the values, in this order; where the path names the Service by UniqueName, its variant for
 * that runs.
 *
 * Returns NULL and the rows, or an error: 401 if the credential no longer holds, 404, 412, one of
 * the operation's outcomes, or an error of sf_db_run(). */
const sf_error *sf_operation_run(sf_request *request, const sf_operation *operation,
                                 sf_rows **rows);

/* An answer that reveals a change of what a domain serves waits until no node serves the state before
 * it (docs/execution.md). The statements that make or find such changes return in their last column,
 * route_wait, for how many milliseconds. sf_operation_run() waits by itself, after the connection was
 * given back. After a transaction, however it ended, its caller calls this function, which waits for
 * the longest time that the transaction's steps have returned. */
void sf_operation_wait_for_routes(sf_request *request);

/* Runs an operation as one step of a transaction. Returns as sf_operation_run(). */
const sf_error *sf_operation_step(sf_request *request, sf_transaction *transaction,
                                  const sf_operation *operation, sf_rows **rows);

/* Checks the credential for an answer that needs no statement; does nothing if a statement of this
 * request has checked it. Returns NULL, 401 or 503. */
const sf_error *sf_operation_check_credential(sf_request *request);

#endif
