#include "core/storage/chunk.h"

#include "core/db/db.h"

#include <apr_strings.h>

int sf_chunk_count(const sf_stored_content *content)
{
    return (int)((content->size + SF_CHUNK_BYTES - 1) / SF_CHUNK_BYTES);
}

apr_size_t sf_chunk_length(const sf_stored_content *content, int number)
{
    const apr_off_t left = content->size - (apr_off_t)number * SF_CHUNK_BYTES;

    return left < SF_CHUNK_BYTES ? (apr_size_t)left : SF_CHUNK_BYTES;
}

const sf_error *sf_chunk_fetch(const sf_caller *caller, const sf_stored_content *content,
                               int number, const char **hex)
{
    const char *values[] = { content->service, content->sha256, apr_itoa(caller->pool, number) };
    sf_rows *rows;

    SF_TRY(sf_db_run(caller,
                     content->is_bundle ? SF_STATEMENT_BUNDLE_CHUNK_FETCH
                                        : SF_STATEMENT_CONTENT_CHUNK_FETCH,
                     values, &rows));
    if (sf_rows_count(rows) != 1) {
        return sf_error_of_status(caller->pool, HTTP_NOT_FOUND);
    }
    *hex = sf_rows_value(rows, 0, 0);
    return NULL;
}
