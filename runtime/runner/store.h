/* Builds on disk. The runner alone writes them:
 *
 *   FOLDER/builds/ZB.../handlers/ZN....js    a complete Build: it got its name when all was on disk
 *   FOLDER/builds/ZB.../files/ZN...
 *   FOLDER/builds/ZB.../manifest.json
 *   FOLDER/builds/ZB.../bundle.tar.zst       of a Build with Dependencies
 *   FOLDER/builds/ZB.../node_modules/        the bundle, unpacked; unpacked anew where the Build is checked
 *   FOLDER/builds/ZB.../sha256sums           the hashes of these files, as sha256sum(1) has them
 *   FOLDER/tmp/PID-NUMBER/                   being written, or being removed
 *   FOLDER/lock                              locked by flock() while a runner uses the folder
 *
 * The functions of this file are for the event loop: they do not wait for the disk. store_work.h has those that
 * do. */
#ifndef SF_STORE_H
#define SF_STORE_H

#include "core/sid.h"

#include <apr_hash.h>
#include <apr_pools.h>
#include <apr_tables.h>

#define SF_STORE_FILES_MAX 2002
#define SF_STORE_FILE_BYTES_MAX (64LL * 1024 * 1024)

/* The name of the hashes' file. */
#define SF_STORE_SUMS "sha256sums"
#define SF_STORE_MANIFEST "manifest.json"

/* The archive of a Build's packages, and the folder that it is unpacked to. */
#define SF_STORE_BUNDLE "bundle.tar.zst"
#define SF_STORE_MODULES "node_modules"
#define SF_STORE_BUNDLE_BYTES_MAX (1024LL * 1024 * 1024)

typedef struct {
    const char *folder;
    int lock;               /* descriptor; a runner that takes over inherits it */
    apr_uint32_t last_name; /* of folders below tmp */
} sf_store;

/* A Build as found on disk. */
typedef struct {
    char sid[SF_SID_LENGTH + 1];
    apr_off_t size;
    apr_time_t used;
} sf_store_entry;

typedef enum { SF_STORE_DONE, SF_STORE_WRONG, SF_STORE_DISK } sf_store_status;

typedef struct sf_store_writer sf_store_writer;

/* Opens the folder, which is made where it is missing, and locks it; `lock` is the descriptor of a runner
 * that hands over, or -1. Without such a runner, all of tmp is left from earlier ones: its paths go to
 * `leftovers` (of const char *). Returns NULL or a message. */
const char *sf_store_open(apr_pool_t *pool, const char *folder, int lock, sf_store *store,
                          apr_array_header_t *leftovers);

/* Returns the Builds on disk, an array of sf_store_entry. */
apr_array_header_t *sf_store_list(const sf_store *store, apr_pool_t *pool);

/* Returns the folder of a Build. */
const char *sf_store_path(const sf_store *store, const char *sid, apr_pool_t *pool);

/* Returns a new path below tmp. */
const char *sf_store_temporary(sf_store *store, apr_pool_t *pool);

/* Begins to write a Build, of at most `limit` bytes. Where the pool is destroyed before sf_store_finish(), the
 * caller has the folder removed. */
sf_store_status sf_store_begin(sf_store *store, apr_pool_t *pool, apr_off_t limit,
                               sf_store_writer **writer);

/* Begins the next file. */
sf_store_status sf_store_file(sf_store_writer *writer, const char *name, const char *sha256,
                              apr_off_t size);

/* Adds bytes to the file. */
sf_store_status sf_store_data(sf_store_writer *writer, const char *bytes, apr_size_t length);

/* Ends the writing: checks the last file and the manifest, and writes the hashes. Nothing has been synced to disk
 * yet, and the folder does not have its name. */
sf_store_status sf_store_finish(sf_store_writer *writer);

/* Returns why a function has not returned SF_STORE_DONE. */
const char *sf_store_message(const sf_store_writer *writer);

/* Returns the bytes of the files in a folder, and in the folders in it. */
apr_off_t sf_store_bytes(apr_pool_t *pool, const char *path);

/* Returns the folder below tmp, and the names of the files (of const char *). */
const char *sf_store_folder(const sf_store_writer *writer);
const apr_array_header_t *sf_store_names(const sf_store_writer *writer);

#endif
