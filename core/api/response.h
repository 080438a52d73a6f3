/* Answers requests: JSON, an error, or a status alone. All functions run after the database
 * connection was given back, so a slow client cannot hold one. */
#ifndef SF_RESPONSE_H
#define SF_RESPONSE_H

#include "core/api/page.h"
#include "core/api/resource.h"
#include "core/db/db.h"

/* Answers with the resource in the first row and its entity tag; a 201 has its Location, too. If
 * the conditions of a GET do not hold, the answer is 304 or 412 instead of `status`. The rows have
 * passed sf_row_json_check(). */
void sf_response_resource(const sf_request *request, int status, sf_rows *rows);

/* Answers 200 and a page of a list, with its meta. The rows have passed sf_row_json_check(). */
void sf_response_list(const sf_request *request, sf_rows *rows, const sf_page *page,
                      const sf_page_scope *scope);

/* Answers with a status: from 400 on as an error with the status's own message, below without a
 * body. */
void sf_response_status(const sf_request *request, int status);

/* Answers 204. */
void sf_response_no_content(const sf_request *request);

/* Answers with an error and its headers. */
void sf_response_error(request_rec *r, const sf_error *error);

#endif
