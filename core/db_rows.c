#include "core/db_rows.h"

#include <string.h>

struct sf_rows {
    PGresult *native; /* or, where this is NULL, through apr_dbd: */
    const apr_dbd_driver_t *driver;
    apr_pool_t *pool;
    apr_dbd_results_t *results;
    apr_dbd_row_t *row;
    int at; /* which row that is, or -1 */
    int count;
    unsigned char page_token_key[SF_DB_KEY_BYTES];
};

static sf_rows *new_rows(apr_pool_t *pool, const unsigned char *page_token_key)
{
    sf_rows *rows = apr_pcalloc(pool, sizeof(*rows));

    rows->pool = pool;
    rows->at = -1;
    memcpy(rows->page_token_key, page_token_key, SF_DB_KEY_BYTES);
    return rows;
}

sf_rows *sf_rows_of_apr_dbd(apr_pool_t *pool, const apr_dbd_driver_t *driver,
                            apr_dbd_results_t *results, const unsigned char *page_token_key)
{
    sf_rows *rows = new_rows(pool, page_token_key);

    rows->driver = driver;
    rows->results = results;
    rows->count = apr_dbd_num_tuples(driver, results);
    return rows;
}

static apr_status_t clear(void *result)
{
    PQclear(result);
    return APR_SUCCESS;
}

sf_rows *sf_rows_of_libpq(apr_pool_t *pool, PGresult *result, const unsigned char *page_token_key)
{
    sf_rows *rows = new_rows(pool, page_token_key);

    apr_pool_cleanup_register(pool, result, clear, apr_pool_cleanup_null);
    rows->native = result;
    rows->count = PQntuples(result);
    return rows;
}

int sf_rows_count(const sf_rows *rows)
{
    return rows->count;
}

/* libpq would write a complaint to stderr of what is out of range. */
static const char *native_value(const sf_rows *rows, int row, int column)
{
    if (row < 0 || row >= rows->count || column < 0 || column >= PQnfields(rows->native)
        || PQgetisnull(rows->native, row, column)) {
        return NULL;
    }
    return PQgetvalue(rows->native, row, column);
}

const char *sf_rows_value(sf_rows *rows, int row, int column)
{
    const char *value = NULL;

    if (rows->native) {
        return native_value(rows, row, column);
    }
    if (rows->at != row) {
        if (apr_dbd_get_row(rows->driver, rows->pool, rows->results, &rows->row, row + 1) != 0) {
            return NULL;
        }
        rows->at = row;
    }
    /* datum_get, because get_entry has "" for NULL */
    if (apr_dbd_datum_get(rows->driver, rows->row, column, APR_DBD_TYPE_STRING, &value)
        != APR_SUCCESS) {
        return NULL;
    }
    return value;
}

const unsigned char *sf_rows_page_token_key(const sf_rows *rows)
{
    return rows->page_token_key;
}
