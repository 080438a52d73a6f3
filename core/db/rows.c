#include "core/db/result.h"

/* The most columns that are inserted: outcome, account and Service. */
#define INSERTED_MAX 3

struct sf_rows {
    PGresult *native; /* of libpq; NULL where the rows came through apr_dbd: */
    const apr_dbd_driver_t *driver;
    apr_pool_t *pool;
    apr_dbd_results_t *results;
    apr_dbd_row_t *row;
    int at; /* the number of `row`, or -1 */
    int count;
    sf_db_state state;
    struct {
        int column;
        const char *text;
    } inserted[INSERTED_MAX];
    int inserted_count;
};

static sf_rows *new_rows(apr_pool_t *pool, const sf_db_state *state)
{
    sf_rows *rows = apr_pcalloc(pool, sizeof(*rows));

    rows->pool = pool;
    rows->at = -1;
    rows->state = *state;
    return rows;
}

sf_rows *sf_rows_of_apr_dbd(apr_pool_t *pool, const apr_dbd_driver_t *driver,
                            apr_dbd_results_t *results, const sf_db_state *state)
{
    sf_rows *rows = new_rows(pool, state);

    rows->driver = driver;
    rows->results = results;
    rows->count = apr_dbd_num_tuples(driver, results);
    return rows;
}

static apr_status_t clear_result(void *result)
{
    PQclear(result);
    return APR_SUCCESS;
}

sf_rows *sf_rows_of_libpq(apr_pool_t *pool, PGresult *result, const sf_db_state *state)
{
    sf_rows *rows = new_rows(pool, state);

    apr_pool_cleanup_register(pool, result, clear_result, apr_pool_cleanup_null);
    rows->native = result;
    rows->count = PQntuples(result);
    return rows;
}

int sf_rows_count(const sf_rows *rows)
{
    return rows->count;
}

void sf_rows_insert_column(sf_rows *rows, int column, const char *text)
{
    rows->inserted[rows->inserted_count].column = column;
    rows->inserted[rows->inserted_count++].text = text;
}

/* A value of libpq's result, or of an inserted column. Checks the range, because libpq writes a message
 * to stderr for a row or column that is not there. */
static const char *native_value(const sf_rows *rows, int row, int column)
{
    int before = 0; /* inserted columns before this one */

    while (before < rows->inserted_count && rows->inserted[before].column < column) {
        before++;
    }
    if (before < rows->inserted_count && rows->inserted[before].column == column) {
        return rows->inserted[before].text;
    }
    column -= before;
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
    return rows->state.page_token_key;
}

const char *sf_rows_credentials_epoch(const sf_rows *rows)
{
    return rows->state.credentials_epoch;
}
