/* A Version's upload: multipart/form-data with Path, Visibility and Content in any order. */
#ifndef SF_UPLOAD_H
#define SF_UPLOAD_H

#include "core/api/resource.h"

/* What differs between what is uploaded. The resource's `create` takes Path, Visibility, the type of
 * Content, its SHA-256, its size and its first chunk; behind the resource's columns it says whether
 * the other chunks are wanted. */
typedef struct sf_upload_kind {
    sf_statement_id prepare;  /* whether what it is a Version of is there */
    apr_off_t (*limit)(void); /* bytes of Content */
    int is_text;              /* Content must be UTF-8 without NUL */
} sf_upload_kind;

/* 201 and the new Version, or an error: 404 before a byte is read where there is nothing to make a
 * Version of, 400 for a malformed body or parameter, 413 above the limit, 415 for another type of
 * body, 408, 503. The upload is in memory once at most, and in the database whole or not at all. */
const sf_error *sf_upload(sf_request *request);

#endif
