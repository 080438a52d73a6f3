/* Buckets for stored content: one for each chunk, which reads its bytes from the database when a
 * filter reads the bucket. A brigade of them holds no content and no database connection by
 * itself, and knows its length; its buckets can be split and copied unread, as httpd does for
 * ranges. Buckets that stand for parts of one chunk read it once, if no bucket of another chunk of the
 * content is read in between: the bytes of one chunk at a time stay in memory. */
#ifndef SF_CHUNK_BUCKET_H
#define SF_CHUNK_BUCKET_H

#include "core/caller.h"
#include "core/storage/chunk.h"

#include <apr_buckets.h>

/* Appends buckets for all of the content to `brigade`, for the caller's request; `stored`'s
 * texts live as long as that. Reads nothing.
 *
 * A chunk that cannot be read later (the database is down, the content was deleted) is logged as
 * SF0040, and fails the read of its bucket: with APR_ENOENT where the database does not have it, else
 * with APR_EGENERAL. The connection is then marked to
 * be closed: fewer bytes than announced were sent, and only the connection's end tells the
 * client so. */
void sf_chunk_buckets_append(apr_bucket_brigade *brigade, const sf_caller *caller,
                             const sf_stored_content *stored);

#endif
