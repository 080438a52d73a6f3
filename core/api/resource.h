/* A resource of the API: one description serves to create, fetch, update and list it. */
#ifndef SF_RESOURCE_H
#define SF_RESOURCE_H

#include "core/api/operation.h"
#include "core/http/params.h"
#include "core/http/request.h"

#define SF_PROPERTIES_MAX 16

/* The page's own parameters are three. */
#define SF_FILTERS_MAX (SF_PARAMS_MAX - 3)

/* Columns come after the outcome. */
#define SF_COLUMN(property) ((property) + 1)

typedef enum {
    SF_AS_SID, /* a uuid; `detail` is the SID's prefix */
    SF_AS_TEXT,
    SF_AS_FLAG,   /* PostgreSQL's t or f */
    SF_AS_DATE,   /* microseconds since 1970 */
    SF_AS_JSON,   /* JSON text, passed on as it is */
    SF_AS_HOST,   /* a host name but for its tail, which ServerlessDomain says */
    SF_AS_SECRET, /* the value of a Variable as sf_secret_seal() has it; shown in clear */
    SF_AS_URL,    /* the resource's own address; has no column */
    SF_AS_LINK    /* in "links": the address with `detail` after it; has no column */
} sf_property_kind;

typedef struct {
    const char *name;
    sf_property_kind kind;
    const char *detail;
} sf_property;

/* What a verb needs: its statement, and the parameters that it takes, in their order. */
typedef struct {
    sf_statement_id statement;
    const sf_param *params; /* NULL where it has none */
} sf_verb;

typedef struct sf_resource {
    const char *key;     /* of the array in a list */
    const char *pattern; /* its route, "/Services/{ZS}/Functions/{ZH}"; each {XX} stands for the
                            property of that prefix */

    const char *kind; /* of artifact, as its statements take it behind the path's SIDs; else NULL */

    /* In the order of the statements' columns, which the outcome precedes; then the address and the
     * links. Ends with a NULL name. */
    const sf_property *properties;

    const sf_outcome *outcomes; /* may be NULL */

    int has_ranges; /* it is bytes, of which a client may ask for a part */

    int page_maximum; /* rows of a page; 0 is what the API allows, 1000 */

    sf_verb create;
    sf_verb fetch;
    sf_verb list;
    sf_verb find; /* what lists where one of its parameters is given, in place of `list` */
    sf_verb update;
    sf_verb remove;

    const struct sf_upload_kind *upload; /* of what sf_upload() creates */
} sf_resource;

/* The column of the property with this SID prefix, or -1. */
int sf_resource_column(const sf_resource *resource, const char *prefix);

/* The column of the resource's own SID, the one that its address ends with. */
int sf_resource_key_column(const sf_resource *resource);

/* How many columns the resource has, the outcome included: where a statement's others begin. */
int sf_resource_columns(const sf_resource *resource);

/* The column that tells the resource's revisions apart, its last date, or -1. */
int sf_resource_revision_column(const sf_resource *resource);

/* The verbs, of the resource that the request's route names. Each reads what the client sent, runs one
 * statement and answers. They return NULL once the answer is on its way, or the error to answer
 * with. */

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
 * another page follows. What a `told` filter left out stands for, the statement decides: each of them
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
