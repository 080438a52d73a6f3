/* The verbs: create, fetch, list, update and delete the resource of the request's route. A verb
 * reads the client's parameters, runs one statement and answers. Each function returns NULL if it
 * has answered, or the error to answer with: of sf_params_read() or sf_page_read(), of
 * sf_operation_run(), or of sf_row_json_check(). */
#ifndef SF_VERBS_H
#define SF_VERBS_H

#include "core/api/resource.h"

/* Answers 201 and the new resource. */
const sf_error *sf_verb_create(sf_request *request);

/* Creates as sf_verb_create(), for an operation that has read its `count` values itself. */
const sf_error *sf_verb_create_from(sf_request *request, int count, const char *const *values);

/* Creates as sf_verb_create_from(), for an operation that makes other values each time, although
 * the request is the same. `given_count` texts of `given` identify the request for its
 * Idempotency-Key instead. */
const sf_error *sf_verb_create_repeatable(sf_request *request, int count, const char *const *values,
                                          int given_count, const char *const *given);

/* Answers 200 and the resource, or as the request's conditions want, 304 or 412. */
const sf_error *sf_verb_fetch(sf_request *request);

/* Answers 200 and a page. The list's parameters are its filters, at most SF_FILTERS_MAX, which
 * become part of all URLs in the answer. The statement takes the filters' values, NULL for one
 * that was not given; the row to begin at; the row to end before; and the number of rows, of which
 * it returns one more if another page follows. An `echoed` filter has a column behind the
 * resource's, with the value that the statement used if none was given. */
const sf_error *sf_verb_list(sf_request *request);

/* Answers 200 and the changed resource. The statements of update and delete take the revisions that
 * If-Match allows (an array, or NULL for any) before their other parameters. */
const sf_error *sf_verb_update(sf_request *request);

/* Updates as sf_verb_update(), for an operation that has read its `count` values itself, those
 * revisions first. */
const sf_error *sf_verb_update_from(sf_request *request, int count, const char *const *values);

/* Answers 204. */
const sf_error *sf_verb_delete(sf_request *request);

#endif
