/* Reads the parameters of a list's pages, and makes and checks page tokens.
 *
 * A page token names the row that a page begins at, or the row that it ends before, so pages stay
 * right while rows are added and deleted. It is signed, and valid only for the account, the list
 * with its filters and the direction that it was made for. */
#ifndef SF_PAGE_H
#define SF_PAGE_H

#include "core/http/params.h"

/* The most rows that a page may have. */
#define SF_PAGE_SIZE_MAX 1000

/* The largest uuid: no row is newer. */
#define SF_PAGE_NEWEST_ROW "ffffffffffffffffffffffffffffffff"

#define SF_PAGE_FROM 'n'   /* the page begins at `row` and goes on to older rows */
#define SF_PAGE_BEFORE 'p' /* the page ends just before `row`: it has newer rows only */

typedef struct {
    const sf_param *filters;           /* of the list, ending with a NULL name; or NULL */
    const char *values[SF_PARAMS_MAX]; /* of the filters, in their order; NULL for one not given */
    int size;                          /* PageSize */
    int number;                        /* Page, which only the client uses */
    const char *token;                 /* PageToken as sent, or NULL */
    char direction;                    /* SF_PAGE_FROM or SF_PAGE_BEFORE */
    char row[SF_SID_DIGITS + 1];
} sf_page;

/* Reads the filters in page->filters, PageSize, Page and PageToken. A PageSize above `maximum`
 * becomes that. Returns NULL, or 400. Of a token only the form is checked;
 * sf_page_token_is_valid() checks the rest. */
const sf_error *sf_page_read(const sf_request *request, int maximum, sf_page *page);

/* Returns the given filters as part of the list's URLs: "FriendlyName=a&", or "". */
const char *sf_page_filters(apr_pool_t *pool, const sf_page *page);

/* The values that a token is valid for. */
typedef struct {
    const unsigned char *key; /* SF_DB_KEY_BYTES that sign tokens, the database's own */
    const char *account;      /* the account's uuid */
    const char *list;         /* the list's path, with SIDs */
    const char *filters;      /* as sf_page_filters() returns them */
} sf_page_scope;

/* Whether the page's token was made for this scope. Compares in constant time. */
int sf_page_token_is_valid(apr_pool_t *pool, const sf_page *page, const sf_page_scope *scope);

/* Returns a token for the page in `direction` from `row`, a uuid as PostgreSQL prints it. */
const char *sf_page_token(apr_pool_t *pool, char direction, const char *row,
                          const sf_page_scope *scope);

#endif
