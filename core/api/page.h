/* Pages of a list. A page token names the row a page begins at, or the row it ends before, so that
 * pages stay right while rows come and go; it is signed, and good only for the account, the list with
 * its filters and the direction it was made for. */
#ifndef SF_PAGE_H
#define SF_PAGE_H

#include "core/http/params.h"

typedef struct {
    const sf_param *filters;           /* of the list, ended by a NULL name; or NULL */
    const char *values[SF_PARAMS_MAX]; /* theirs, in that order */
    int size;                          /* PageSize, 1 to 1000 */
    int number;                        /* Page, which only the client cares about */
    const char *token;                 /* PageToken as sent, or NULL */
    char direction;                    /* SF_PAGE_FROM or SF_PAGE_BEFORE */
    char row[SF_SID_DIGITS + 1];
} sf_page;

#define SF_PAGE_FROM 'n'   /* begins at `row` and goes on to older ones */
#define SF_PAGE_BEFORE 'p' /* ends just before `row`: only newer ones */

/* The most rows a page may have, and where a larger PageSize ends up. */
#define SF_PAGE_SIZE_MAX 1000

/* Reads the filters that the page names, PageSize (at most `maximum`), Page and PageToken. Returns NULL
 * or 400/20001; of a token only the form has been checked then. */
const sf_error *sf_page_read(const sf_request *request, int maximum, sf_page *page);

/* The filters in force as they stand in the list's addresses: "FriendlyName=a&", or "". */
const char *sf_page_filters(apr_pool_t *pool, const sf_page *page);

/* What a token is bound to. */
typedef struct {
    const unsigned char *key; /* SF_DB_KEY_BYTES of it */
    const char *account;      /* the account's uuid */
    const char *list;         /* the list's path */
    const char *filters;      /* as sf_page_filters() has them */
} sf_page_scope;

/* Whether the token was made by this database for this scope, compared in constant time. */
int sf_page_token_is_valid(apr_pool_t *pool, const sf_page *page, const sf_page_scope *scope);

/* A token for the page in `direction` from `row`, a uuid as PostgreSQL prints it. */
const char *sf_page_token(apr_pool_t *pool, char direction, const char *row,
                          const sf_page_scope *scope);

#endif
