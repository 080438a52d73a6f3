/* The result set of a statement. It lives as long as the pool of the statement's caller, and so do
 * the texts in it. */
#ifndef SF_DB_ROWS_H
#define SF_DB_ROWS_H

/* The bytes of the key of page tokens. */
#define SF_DB_KEY_BYTES 32

typedef struct sf_rows sf_rows;

/* Returns the number of rows. */
int sf_rows_count(const sf_rows *rows);

/* Returns the number of columns. */
int sf_rows_columns(const sf_rows *rows);

/* Returns the text of a value, or NULL for SQL's NULL and where there is no such row or column.
 * Both are counted from 0. */
const char *sf_rows_value(sf_rows *rows, int row, int column);

/* Inserts a column with the same text in every row; the columns from `column` on move one to the right.
 * `text` must live as long as the rows. At most three columns, inserted from left to right. */
void sf_rows_insert_column(sf_rows *rows, int column, const char *text);

/* Returns the key of page tokens, SF_DB_KEY_BYTES bytes, of the database that the rows came
 * from. */
const unsigned char *sf_rows_page_token_key(const sf_rows *rows);

/* Returns the database's credentials_epoch, 36 characters, as it was just before the statement ran;
 * "" where the statement did not run in a batch. */
const char *sf_rows_credentials_epoch(const sf_rows *rows);

#endif
