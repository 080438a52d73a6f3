/* The description of a resource: its properties, its path, the statements of its verbs. core/api/verbs.h
 * creates, fetches, updates, lists and deletes by it. */
#ifndef SF_RESOURCE_H
#define SF_RESOURCE_H

#include "core/http/params.h"
#include "core/http/request.h"
#include "statements.h"

#define SF_PROPERTIES_MAX 16

/* The page's own parameters are three. */
#define SF_FILTERS_MAX (SF_PARAMS_MAX - 3)

/* Columns come after the outcome. */
#define SF_COLUMN(property) ((property) + 1)

typedef enum {
    SF_JSON_SID, /* a uuid; `detail` is the SID's prefix */
    SF_JSON_TEXT,
    SF_JSON_FLAG,   /* PostgreSQL's t or f */
    SF_JSON_DATE,   /* microseconds since 1970 */
    SF_JSON_RAW,    /* JSON text, passed on as it is */
    SF_JSON_HOST,   /* a host name but for its tail, which ServerlessDomain says */
    SF_JSON_SECRET, /* the value of a Variable as sf_secret_seal() has it; shown in clear */
    SF_JSON_URL,    /* the resource's own address; has no column */
    SF_JSON_LINK    /* in "links": the address with `detail` after it; has no column */
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

/* The column that holds an outcome's details for the client, as JSON. */
typedef enum {
    SF_DETAILS_NONE,
    SF_DETAILS_ALONE,         /* the column after the outcome: the statement returns no resource */
    SF_DETAILS_AFTER_RESOURCE /* the column after those of the resource */
} sf_outcome_details;

/* What a statement of this resource may report besides ok, unauthenticated, not_found and
 * precondition_failed; a list of them ends with a NULL name. */
typedef struct {
    const char *name;
    int status;
    const char *message;
    sf_outcome_details details;
} sf_outcome;

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
    sf_verb list_filtered; /* replaces `list` where one of its parameters is given */
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

#endif
