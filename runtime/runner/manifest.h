/* The manifest of a Build: which file is which Function or private Asset. */
#ifndef SF_MANIFEST_H
#define SF_MANIFEST_H

#include <apr_hash.h>
#include <apr_pools.h>

/* Checks the manifest in the file: its members, and that `files` has the name of each of its files. Returns
 * NULL or a message. */
const char *sf_manifest_check(const char *path, apr_hash_t *files, apr_pool_t *pool);

#endif
