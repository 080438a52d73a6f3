/* Writes JSON text piece by piece, for texts that are made once for each request. json.h makes JSON from
 * values. */
#ifndef SF_JSON_WRITER_H
#define SF_JSON_WRITER_H

#include <apr_pools.h>

typedef struct {
    apr_pool_t *pool;
    char *text;
    apr_size_t length;
    apr_size_t room;
} sf_json_writer;

/* Begins an empty text. */
void sf_json_writer_begin(sf_json_writer *writer, apr_pool_t *pool);

/* Appends bytes as they are. */
void sf_json_write(sf_json_writer *writer, const char *bytes, apr_size_t length);
void sf_json_write_text(sf_json_writer *writer, const char *text);

/* Appends a string in quotes; "null" for NULL. Each byte that is no UTF-8 becomes U+FFFD. */
void sf_json_write_string(sf_json_writer *writer, const char *string);

#endif
