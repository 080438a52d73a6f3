/* The bound of a file cache: counts the bytes on disk, and removes files that were not used for
 * long. */
#ifndef SF_FILE_COLLECT_H
#define SF_FILE_COLLECT_H

#include "core/storage/file_cache.h"

/* Seconds until the use of a file is recorded again, as its time of access. */
#define SF_FILE_USE_SECONDS 60

/* Counts a new file of `size` bytes. Above the limit, removes the files that were not used for the
 * longest time, until a tenth of the limit is free, and all files that were not used for a week.
 * Files that are read at that moment stay readable for their readers.
 *
 * A size that is counted twice or not removed, as where writing fails, holds until the next
 * collection, which counts anew.
 * Returns APR_SUCCESS, APR_EBUSY where another thread counts or collects, APR_ENOSPC, or the error of
 * FOLDER/total. */
apr_status_t sf_file_collect_reserve(const sf_file_cache *cache, apr_off_t size, apr_pool_t *pool);

/* Returns the bytes of all files, or 0 where they are not known. */
apr_off_t sf_file_collect_total(const sf_file_cache *cache, apr_pool_t *pool);

#endif
