#include "core/db/result.h"

/* The most columns that are inserted: outcome, account and Service. */
#define INSERTED_MAX 3

struct sf_rows {
    PGresult *native;
    int count;
    int columns; /* without those that were inserted */
    sf_db_state state;
    struct {
        int column;
        const char *text;
    } inserted[INSERTED_MAX];
    int inserted_count;
};

static apr_status_t clear_result(void *result)
{
    PQclear(result);
    return APR_SUCCESS;
}

sf_rows *sf_rows_of_libpq(apr_pool_t *pool, PGresult *result, const sf_db_state *state)
{
    sf_rows *rows = apr_pcalloc(pool, sizeof(*rows));

    apr_pool_cleanup_register(pool, result, clear_result, apr_pool_cleanup_null);
    rows->state = *state;
    rows->native = result;
    rows->count = PQntuples(result);
    rows->columns = PQnfields(result);
    return rows;
}

int sf_rows_count(const sf_rows *rows)
{
    return rows->count;
}

int sf_rows_columns(const sf_rows *rows)
{
    return rows->columns + rows->inserted_count;
}

void sf_rows_insert_column(sf_rows *rows, int column, const char *text)
{
    rows->inserted[rows->inserted_count].column = column;
    rows->inserted[rows->inserted_count++].text = text;
}

/* Checks the range, because libpq writes a message to stderr for a row or column that is not
 * there. */
const char *sf_rows_value(sf_rows *rows, int row, int column)
{
    int before = 0; /* inserted columns before this one */

    while (before < rows->inserted_count && rows->inserted[before].column < column) {
        before++;
    }
    if (before < rows->inserted_count && rows->inserted[before].column == column) {
        return rows->inserted[before].text;
    }
    column -= before;
    if (row < 0 || row >= rows->count || column < 0 || column >= rows->columns
        || PQgetisnull(rows->native, row, column)) {
        return NULL;
    }
    return PQgetvalue(rows->native, row, column);
}

const unsigned char *sf_rows_page_token_key(const sf_rows *rows)
{
    return rows->state.page_token_key;
}

const char *sf_rows_credentials_epoch(const sf_rows *rows)
{
    return rows->state.credentials_epoch;
}
