/* The verbs: create, fetch, list, update and delete. Each works on the resource that the request's route
 * names: it reads the client's parameters, runs one statement and answers. The result is NULL once the
 * answer is on its way, or the error to answer with. */
#ifndef SF_VERBS_H
#define SF_VERBS_H

#include "core/api/resource.h"

/* 201 and the new resource. */
const sf_error *sf_resource_create(sf_request *request);

/* 201 and the new resource, for an operation that has read its `count` values itself. */
const sf_error *sf_resource_create_from(sf_request *request, int count, const char *const *values);

/* The same, where a request that is sent again has other values: `same` are `given` texts by which
 * sf_idempotency_create() recognizes it. */
const sf_error *sf_resource_create_known(sf_request *request, int count, const char *const *values,
                                         int given, const char *const *same);

/* 200 and the resource, 304 or 412. */
const sf_error *sf_resource_fetch(sf_request *request);

/* 200 and a page. The list's parameters are its filters (at most SF_FILTERS_MAX), which become part of
 * all its addresses. The statement takes their values, NULL for one that the client left out, then
 * the row to begin at, the row to end before, and the page's size, and returns one row more where
 * another page follows. What a `echoed` filter left out stands for, the statement decides: each of them
 * has a column behind the resource's that tells its value in force. */
const sf_error *sf_resource_list(sf_request *request);

/* 200 and the changed resource. Its statement and that of delete take the revisions which If-Match
 * allows (an array, or NULL for any) before their parameters. */
const sf_error *sf_resource_update(sf_request *request);

/* The same, for an operation that has read its `count` values itself, those revisions first. */
const sf_error *sf_resource_update_from(sf_request *request, int count, const char *const *values);

/* 204. */
const sf_error *sf_resource_delete(sf_request *request);

#endif
