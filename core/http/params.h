/* Reads parameters: the query of a GET, the form of a POST. An operation describes its parameters
 * by a table; parameters that are not in the table are ignored, as the API does. */
#ifndef SF_PARAMS_H
#define SF_PARAMS_H

#include "core/http/request.h"

#define SF_PARAMS_MAX 8

/* The values that a parameter takes, and the text that its reader gets. */
typedef enum {
    SF_PARAM_TEXT,        /* 1 to `maximum` characters of Unicode */
    SF_PARAM_UNIQUE_NAME, /* a UniqueName, see sf_unique_name_is_valid(), of at most `maximum` */
    SF_PARAM_FLAG,        /* true or false in any case; read as "t" or "f" */
    SF_PARAM_SID,         /* a SID; read as its digits */
    SF_PARAM_SIDS,        /* up to `maximum` SIDs, each a parameter; read as PostgreSQL's array */
    SF_PARAM_LABEL,       /* a label of a host name, of at most `maximum` characters */
    SF_PARAM_BYTES,       /* 1 to `maximum` bytes of UTF-8 */
    SF_PARAM_DATE         /* a time; read as sf_date_read() returns it */
} sf_param_kind;

typedef struct {
    const char *name;
    sf_param_kind kind;
    int maximum; /* characters, bytes or SIDs */
    int required;
    const char *prefix; /* of SIDs */
    int echoed; /* a list's filter whose value in force the statement returns, see verbs.h */
} sf_param;

/* Reads the parameters in `params`, which ends with a NULL name and has at most SF_PARAMS_MAX
 * rows, into `values`, in the same order. A parameter that is absent is NULL. Returns NULL, or an
 * error: 400 if one is missing, repeated, too long or malformed; 415 if a body is not a form; or
 * that of sf_body_read(). */
const sf_error *sf_params_read(const sf_request *request, const sf_param *params,
                               const char **values);

/* Returns the number of parameters in a table; `params` may be NULL. */
int sf_params_count(const sf_param *params);

/* Returns a value as a client would send it, percent-encoded. Not for flags and SF_PARAM_SIDS. */
const char *sf_param_query(apr_pool_t *pool, const sf_param *param, const char *value);

#endif
