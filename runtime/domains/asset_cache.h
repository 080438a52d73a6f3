/* The files of Assets on this machine's disk (ServerlessAssetCache), filled from the database. */
#ifndef SF_ASSET_CACHE_H
#define SF_ASSET_CACHE_H

#include "core/storage/chunk.h"

#include <apr_file_io.h>

/* Makes the folder where it is missing, for the user of httpd's children, or logs SF0041. Called from
 * post_config. */
void sf_asset_cache_make(const server_rec *s);

/* Opens the file of the content, with further flags of apr_file_open(). It is closed with the
 * caller's pool. `*file` is NULL where the content is to be sent chunk by chunk: without a cache,
 * where it takes no file of this size, where its disk fails or is full (logged once as SF0041), or
 * where another thread has been writing the file for more than a second.
 *
 * The first request of a content reads it from the database and writes the file, while the next
 * requests wait. With `fill` 0, only a file that is there is opened.
 *
 * Returns NULL or an error, with which there is nothing to send:
 *   404  the database does not have the content, or not all of it
 *   500  the content in the database does not have its hash (SF0042)
 *   or an error of sf_db_run() */
const sf_error *sf_asset_cache_open(const sf_caller *caller, const sf_stored_content *content,
                                    apr_int32_t flags, int fill, apr_file_t **file);

#endif
