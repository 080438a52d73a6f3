/* Makes result sets (rows.h) of results of libpq. For core/db/ only. */
#ifndef SF_DB_RESULT_H
#define SF_DB_RESULT_H

#include "core/db/rows.h"
#include "core/sid.h"

#include <apr_pools.h>
#include <libpq-fe.h>

/* Values of the database that a result set has with it. */
typedef struct {
    unsigned char page_token_key[SF_DB_KEY_BYTES];
    /* Just before the statement ran; "" outside a batch. */
    char credentials_epoch[SF_UUID_LENGTH + 1];
} sf_db_state;

/* Returns the rows of a statement. The PGresult is freed with the pool. */
sf_rows *sf_rows_of_libpq(apr_pool_t *pool, PGresult *result, const sf_db_state *state);

#endif
