/* Creates a resource once for each Idempotency-Key. A client may send a create again with the same
 * key: it gets the resource that the first one created, as the resource is now, also if both
 * arrive at once. A key belongs to an account and lives for 24 hours. A create that fails leaves
 * no key behind.
 *
 * A create with a key is one transaction: sf_idempotency_claim(); if that returns no rows, the
 * statement that creates, and sf_idempotency_record(). */
#ifndef SF_IDEMPOTENCY_H
#define SF_IDEMPOTENCY_H

#include "core/crypto/sha256.h"
#include "core/db/db.h"
#include "core/http/request.h"

typedef struct {
    sf_request *request;
    int has_key;                 /* the functions below do nothing for a request without a key */
    char key[SF_SHA256_HEX + 1]; /* the hash of the key */
    char fingerprint[SF_SHA256_HEX + 1]; /* the hash of the request's path and parameters */
    int is_replayed;                     /* the resource was created by an earlier request */
} sf_idempotency;

/* Whether the request has an Idempotency-Key. */
int sf_idempotency_is_wanted(const sf_request *request);

/* Reads the request's key. `count` texts of `parameters` identify the request, together with its
 * path; NULL stands for a parameter that was not given. Returns NULL, 400 for a malformed key, or
 * 500 if OpenSSL cannot hash. */
const sf_error *sf_idempotency_read(sf_idempotency *once, sf_request *request, int count,
                                    const char *const *parameters);

/* Claims the key, or waits until another transaction that has claimed it ends. `rows` are those of
 * the resource that this key has created, or NULL if the transaction has to create it. Returns
 * NULL, 409 if the key was used for another request, or an error of sf_operation_step(). */
const sf_error *sf_idempotency_claim(sf_idempotency *once, sf_transaction *transaction,
                                     sf_rows **rows);

/* Records the resource in the first of `rows` as the one that the key has created. Returns NULL or
 * an error of sf_operation_step(). */
const sf_error *sf_idempotency_record(sf_idempotency *once, sf_transaction *transaction,
                                      sf_rows *rows);

/* Sets the answer's Idempotent-Replayed, if an earlier request has created the resource. Called
 * once the transaction is committed. */
void sf_idempotency_set_header(const sf_idempotency *once);

#endif
