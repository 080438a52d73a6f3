/* A cache of stored content: one file for each content in a folder on disk. The children of an httpd
 * share the folder, and several httpds may. Losing it, or any file of it, costs only time.
 *
 *   FOLDER/7f/7f83b1...069-c0ffee00-...-00000001   content: its SHA-256, then the Service
 *   FOLDER/7f/7f83b1...069-c0ffee00-....part       being written, locked by flock()
 *   FOLDER/total                                   the bytes of all files; its lock guards collecting
 *
 * A file gets its name when it is complete and its hash is right. */
#ifndef SF_FILE_CACHE_H
#define SF_FILE_CACHE_H

#include "core/storage/chunk.h"

#include <apr_file_io.h>

/* The end of a file's name while it is being written. */
#define SF_FILE_PART ".part"

/* sf_file_cache_commit(): the bytes are not those of the content. */
#define SF_FILE_CACHE_MISMATCH (APR_OS_START_USERERR + 1)

typedef struct sf_file_cache {
    const char *folder; /* an absolute path */
    apr_off_t limit;    /* bytes on disk, of all files together */
} sf_file_cache;

typedef struct sf_file_writer sf_file_writer;

/* Makes the folder where it is missing, for `user` alone. Called by httpd's parent process: a child may
 * not have the permission. Returns APR_SUCCESS or the error. */
apr_status_t sf_file_cache_make(const sf_file_cache *cache, apr_uid_t user);

/* Whether the cache takes content of this size: at most a quarter of its limit. */
int sf_file_cache_takes(const sf_file_cache *cache, apr_off_t size);

/* Opens the file of a content for reading, with further flags of apr_file_open(). The file stays
 * readable where another process removes it. It is closed with the pool.
 *
 * A file of the wrong size is removed. So is a file with the wrong hash, which is computed where it
 * was last checked more than a day ago, or before this machine's start: nothing is synced to disk.
 * Returns APR_SUCCESS, APR_ENOENT, or the error. */
apr_status_t sf_file_cache_open(const sf_file_cache *cache, const sf_stored_content *content,
                                apr_int32_t flags, apr_pool_t *pool, apr_file_t **file);

/* Begins to write the file of a content that the cache takes. Files that were not used for long make
 * room for it. Where the pool is destroyed before the commit, the file is removed.
 * Returns APR_SUCCESS; APR_EBUSY where a thread of any process writes the same file or makes room, or
 * where the file is there by now; APR_ENOSPC where no room can be made; or the error. */
apr_status_t sf_file_cache_begin(const sf_file_cache *cache, const sf_stored_content *content,
                                 apr_pool_t *pool, sf_file_writer **writer);

/* Adds bytes. */
apr_status_t sf_file_cache_write(sf_file_writer *writer, const void *bytes, apr_size_t length);

/* Ends the file and gives it its name. Returns APR_SUCCESS, SF_FILE_CACHE_MISMATCH, or the error;
 * the file is removed then. */
apr_status_t sf_file_cache_commit(sf_file_writer *writer);

#endif
