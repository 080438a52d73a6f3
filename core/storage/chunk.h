/* Stored content, and its chunks as the database has them. */
#ifndef SF_CHUNK_H
#define SF_CHUNK_H

#include "core/caller.h"
#include "core/error.h"

#define SF_CHUNK_BYTES                                                                             \
    (256 * 1024) /* of content, as the database stores it; the last one may be shorter */

/* Content as the table `contents` has it, or a bundle as `bundles` has it. */
typedef struct {
    int is_bundle;
    const char *service; /* a uuid */
    const char *sha256;  /* in hex */
    apr_off_t size;      /* of the stored bytes */
} sf_stored_content;

/* Returns the number of chunks that have bytes: 0 for empty content. */
int sf_chunk_count(const sf_stored_content *content);

/* Returns the number of bytes of chunk `number` (from 0). */
apr_size_t sf_chunk_length(const sf_stored_content *content, int number);

/* Reads chunk `number` from the database, in hex. Returns NULL and the text, which lives in the
 * caller's pool; 404 where the database does not have the chunk; or the error of sf_db_run(). */
const sf_error *sf_chunk_fetch(const sf_caller *caller, const sf_stored_content *content,
                               int number, const char **hex);

#endif
