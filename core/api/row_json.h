/* Writes rows of a result set as JSON objects, by the properties of their resource.
 *
 * A serialiser belongs to one resource and one base URL. It keeps everything that all rows have in
 * common (names, punctuation, the address) as escaped text, and is reused by later requests: a
 * tree of json-c objects for a thousand rows would cost several times as much. */
#ifndef SF_ROW_JSON_H
#define SF_ROW_JSON_H

#include "core/api/resource.h"
#include "core/db/db.h"

typedef struct sf_row_json sf_row_json;

/* Makes the child's pool of serialisers. Called from child_init. */
apr_status_t sf_row_json_init(apr_pool_t *pool);

/* Checks, before an answer begins, that all rows of the request's resource can be written. Returns
 * NULL, or the error of sf_secret_open() for an encrypted text among them. */
const sf_error *sf_row_json_check(const sf_request *request, sf_rows *rows);

/* Takes a serialiser for rows of the request's resource, which sf_row_json_check() has passed,
 * from the pool, or makes one. Never NULL. It has to be released while the rows live. */
sf_row_json *sf_row_json_acquire(const sf_request *request);
void sf_row_json_release(sf_row_json *serialiser);

/* Returns row `row` as a JSON object of `length` bytes. The text is valid until the next call and
 * until the release. */
const char *sf_row_json_write(sf_row_json *serialiser, sf_rows *rows, int row, apr_size_t *length);

/* Returns the URL of the resource in the row that was written last. It lives as long as the
 * request. */
const char *sf_row_json_url(const sf_row_json *serialiser);

#endif
