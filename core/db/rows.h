/* The result set of a statement. It lives as long as the pool of the statement's caller. */
#ifndef SF_DB_ROWS_H
#define SF_DB_ROWS_H

#define SF_DB_KEY_BYTES 32

typedef struct sf_rows sf_rows;

/* How many rows there are. */
int sf_rows_count(const sf_rows *rows);

/* The text of a column, both counted from 0, or NULL for SQL's NULL. Valid as long as the rows. */
const char *sf_rows_value(sf_rows *rows, int row, int column);

/* From now on there is a column before what was this one, the same in all rows; `text` lives as long as
 * they do. Of three columns at most, from left to right, and of rows that came together with others'
 * (sf_db_run_batched). */
void sf_rows_know(sf_rows *rows, int column, const char *text);

/* The key with which page tokens are signed in the database that the rows came from. */
const unsigned char *sf_rows_page_token_key(const sf_rows *rows);

/* The database's credentials_tag just before the statement ran that they are of: 36 characters. "" where
 * it did not run together with others. */
const char *sf_rows_credentials_tag(const sf_rows *rows);

#endif
