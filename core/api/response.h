/* Answers: JSON out to the client. By the time one begins, the database has been let go. */
#ifndef SF_RESPONSE_H
#define SF_RESPONSE_H

#include "core/api/page.h"
#include "core/api/resource.h"
#include "core/db/db.h"

/* One resource: the first row, with `status` and its entity tag; 201 also says where the new resource
 * is. A GET whose conditions the resource does not meet is answered as they want, 304 or 412. */
void sf_response_resource(const sf_request *request, int status, sf_rows *rows);

/* A page of a list, row by row, and its meta. */
void sf_response_list(const sf_request *request, sf_rows *rows, const sf_page *page,
                      const sf_page_scope *scope);

/* A status that has no body, or the error that a status alone tells. */
void sf_response_status(const sf_request *request, int status);

/* 204. */
void sf_response_no_content(const sf_request *request);

/* An error, with the headers that belong to it. */
void sf_response_error(request_rec *r, const sf_error *error);

#endif
