/* Parameters: the query of a GET, the form of a POST. What an operation takes is a table; whatever
 * is not in it is ignored, as the API does. */
#ifndef SF_PARAMS_H
#define SF_PARAMS_H

#include "core/http/request.h"

#define SF_PARAMS_MAX 8

typedef enum {
    SF_PARAM_TEXT,        /* any Unicode, up to `maximum` characters, not empty */
    SF_PARAM_UNIQUE_NAME, /* as sf_unique_name_is_valid() has it, up to `maximum` characters */
    SF_PARAM_FLAG,        /* true or false in any case; handed on as "t" or "f" */
    SF_PARAM_SID,         /* a SID; handed on as its digits */
    SF_PARAM_SIDS, /* any number of SIDs, repeated; handed on as PostgreSQL's array of their digits */
    SF_PARAM_LABEL, /* part of a host name, up to `maximum` characters */
    SF_PARAM_BYTES, /* any Unicode, up to `maximum` bytes of UTF-8, not empty */
    SF_PARAM_DATE   /* a time as sf_date_read() takes it; handed on as that writes it */
} sf_param_kind;

typedef struct {
    const char *name;
    sf_param_kind kind;
    int maximum; /* characters, bytes, or SIDs */
    int required;
    const char *prefix; /* of SIDs */
    int echoed;         /* of a list's filter, see sf_verb_list() */
} sf_param;

/* Reads the parameters that `params` (ended by a NULL name, at most SF_PARAMS_MAX) describes into
 * `values`, in that order; an absent one is NULL. Returns NULL, or an error: 400 for a missing,
 * repeated, overlong or malformed one, 415 for another content type than a form's, and what
 * sf_body_read returns. */
const sf_error *sf_params_read(const sf_request *request, const sf_param *params,
                               const char **values);

/* How many there are; `params` may be NULL. */
int sf_params_count(const sf_param *params);

/* A value as a client would send it, percent-encoded. For those that are handed on as they are, for
 * SF_PARAM_SID, and for SF_PARAM_DATE. */
const char *sf_param_query(apr_pool_t *pool, const sf_param *param, const char *value);

#endif
