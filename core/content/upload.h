/* The upload of a Version: multipart/form-data with Path, Visibility and Content in any order. */
#ifndef SF_UPLOAD_H
#define SF_UPLOAD_H

#include "core/api/resource.h"

/* The differences between uploads of Functions and of Assets. The resource's `create` statement
 * takes Path, Visibility, the type of Content, its SHA-256, its size and its first chunk. The
 * column behind the resource's columns is true where the content is new and its other chunks
 * have to be added. */
typedef struct sf_upload_kind {
    sf_statement_id prepare;  /* finds the Function or Asset of the Version */
    apr_off_t (*limit)(void); /* bytes of Content */
    int is_text;              /* Content must be UTF-8 without NUL */
} sf_upload_kind;

/* Creates a Version of the Function or Asset that the path names, and answers with 201. Memory
 * holds one chunk of the content; the database gets the Version whole or not at all.
 *
 * Returns NULL or an error: 404 before a byte of the body is read where there is no such
 * Function or Asset, 400 for a malformed body or parameter, 408 for a slow body, 413 above the
 * limit, 415 for a body of another type, 500 where OpenSSL fails, 503 where the database or the
 * temporary file fails. */
const sf_error *sf_upload(sf_request *request);

#endif
