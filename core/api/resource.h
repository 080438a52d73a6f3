/* Describes a resource: its properties, its path and the statements of its verbs. Each file of
 * handlers/ has such descriptions; core/api/verbs.h creates, fetches, updates, lists and deletes
 * resources by them. */
#ifndef SF_RESOURCE_H
#define SF_RESOURCE_H

#include "core/db/rows.h"
#include "core/http/params.h"
#include "core/http/request.h"
#include "statements.h"

#define SF_PROPERTIES_MAX 16

/* The most filters that a list may have: a list has three parameters more, those of its pages. */
#define SF_FILTERS_MAX (SF_PARAMS_MAX - 3)

/* The length of a placeholder in a pattern, such as "{ZH}". */
#define SF_PLACEHOLDER_LENGTH 4

/* The columns that the statements of every resource begin with. */
enum { SF_COLUMN_OUTCOME, SF_COLUMN_SID, SF_COLUMN_ACCOUNT };

/* The column of a property: properties have their columns after that of the outcome. */
#define SF_COLUMN(property) ((property) + 1)

/* The JSON that a property's column becomes. */
typedef enum {
    SF_JSON_SID, /* column: a uuid; `detail` is the SID's prefix */
    SF_JSON_TEXT,
    SF_JSON_FLAG,   /* column: PostgreSQL's t or f */
    SF_JSON_DATE,   /* column: microseconds since 1970 */
    SF_JSON_RAW,    /* column: JSON, which is passed on but for its white space */
    SF_JSON_HOST,   /* column: a host name without its domain, which is that of ServerlessDomain */
    SF_JSON_SECRET, /* column: a text that sf_secret_seal() encrypted; shown in clear */
    SF_JSON_URL,    /* no column: the resource's own address */
    SF_JSON_LINK    /* no column: a member of "links", the address with `detail` appended */
} sf_property_kind;

typedef struct {
    const char *name;
    sf_property_kind kind;
    const char *detail;
} sf_property;

/* A verb's statement and its parameters, in the statement's order; `params` is NULL if it has
 * none. */
typedef struct {
    sf_statement_id statement;
    const sf_param *params;
} sf_verb;

/* The column that holds an outcome's details for the client, as JSON. */
typedef enum {
    SF_DETAILS_NONE,
    SF_DETAILS_ALONE,         /* the column after the outcome: the statement returns no resource */
    SF_DETAILS_AFTER_RESOURCE /* the column after those of the resource */
} sf_outcome_details;

/* Verbs, as bits of sf_resource.route_changes. */
enum { SF_ON_CREATE = 1, SF_ON_UPDATE = 2, SF_ON_REMOVE = 4 };

/* An outcome of the resource's statements, besides "ok", "unauthenticated", "not_found" and
 * "precondition_failed", and the error that it becomes. A table of them ends with a NULL name. */
typedef struct {
    const char *name;
    int status;
    const char *message;
    sf_outcome_details details;
} sf_outcome;

typedef struct sf_resource {
    const char *key;     /* the name of a list's array */
    const char *pattern; /* "/Services/{ZS}/Functions/{ZH}": each {XX} stands for the SID of the
                            property with that prefix */

    const char *kind; /* "function" or "asset" in statements about both, which take it after the
                         path's SIDs; else NULL */

    /* In the order of the columns: the resource's own SID, the account's, all others; then the
     * address and the links. Ends with a NULL name. */
    const sf_property *properties;

    const sf_outcome *outcomes; /* or NULL */

    int has_ranges; /* the resource is bytes, of which a client may ask for a range */

    int no_store; /* responses show a secret or a source, and are not to be kept by a client */

    int page_maximum; /* rows of a page, or 0 for SF_PAGE_SIZE_MAX */

    int has_large_rows; /* pages are bounded in bytes as well: the list's statements have the columns
                           SF_COLUMN_ON_PAGE and SF_COLUMN_HAS_NEWER behind those of the resource */

    sf_verb create;
    sf_verb fetch;
    sf_verb list;
    sf_verb list_filtered; /* replaces `list` where one of its parameters is given */
    sf_verb update;
    sf_verb remove;

    /* The verbs, as SF_ON_..., that change what a domain serves. Their statements return route_wait in
     * their last column, and their answers wait for that time (core/api/operation.h). */
    int route_changes;

    const struct sf_upload_kind *upload; /* for resources that sf_upload() creates */
} sf_resource;

/* Returns the column of the property with this SID prefix, or -1. */
int sf_resource_column(const sf_resource *resource, const char *prefix);

/* Returns the number of the resource's columns, the outcome included. A statement's further
 * columns begin there. */
int sf_resource_columns(const sf_resource *resource);

/* The columns of a list's statement behind those of the resource, where the resource has large rows:
 * whether the row is on the page (a row that is not tells that older rows follow), and whether rows
 * precede a page before another one. */
enum { SF_COLUMN_ON_PAGE, SF_COLUMN_HAS_NEWER, SF_PAGE_COLUMNS };

/* Returns the first column of a list's statement behind those of resource and page. */
int sf_resource_list_columns(const sf_resource *resource);

/* Returns the column that changes with each revision of the resource, its last date, or -1. */
int sf_resource_revision_column(const sf_resource *resource);

/* Returns the path of the list that the rows are of. It has SIDs, taken from the first row, also
 * if the client named the Service by its UniqueName. */
const char *sf_resource_list_path(apr_pool_t *pool, const sf_resource *resource, sf_rows *rows);

#endif
