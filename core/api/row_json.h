/* Rows as JSON. What all rows of a resource have in common json-c has escaped once; each row puts its
 * values between, of which texts go through strings of json-c's that are used again. A tree of a
 * thousand rows would cost several times as much. */
#ifndef SF_ROW_JSON_H
#define SF_ROW_JSON_H

#include "core/api/resource.h"
#include "core/db/db.h"

typedef struct sf_record sf_record;

/* Whether all of the request's resource's rows can be shown, to be asked before the answer begins.
 * Returns NULL, or what sf_secret_open() returns of a secret among them. */
const sf_error *sf_record_check(const sf_request *request, sf_rows *rows);

/* Makes the child's shelf of records. Called from child_init. */
apr_status_t sf_record_init(apr_pool_t *pool);

/* A record for rows of the request's resource, which have been checked: one that an earlier request
 * has left, or a new one. It is to be given back before the rows end. */
sf_record *sf_record_take(const sf_request *request);
void sf_record_give_back(sf_record *record);

/* Row `row` as JSON text, valid until the next call or until the record is given back; its length in
 * bytes goes to `length`. */
const char *sf_record_text(sf_record *record, sf_rows *rows, int row, apr_size_t *length);

/* The address of the row that was last made text. */
const char *sf_record_url(const sf_record *record);

/* Writes a route's path with each {XX} replaced by the row's SID of that prefix, to where there is
 * room for sf_record_path_room() bytes. Returns where the terminating NUL stands. */
char *sf_record_path(char *to, const char *pattern, const sf_resource *resource, sf_rows *rows,
                     int row);
apr_size_t sf_record_path_room(const char *pattern);

#endif
