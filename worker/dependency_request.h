/* The Dependencies of a Build as the runner and the database take them. */
#ifndef SF_DEPENDENCY_REQUEST_H
#define SF_DEPENDENCY_REQUEST_H

#include "core/crypto/sha256.h"

#include <apr_pools.h>
#include <json-c/json.h>

/* Returns an object of names with their versions, which lives as long as the pool. `dependencies` is JSON: an array of
 * objects with name and version. Of two with one name, the last one counts. */
json_object *sf_dependency_versions(apr_pool_t *pool, const char *dependencies);

/* Sets the hash of the Runtime and the names with their versions, in the order of the names. Builds of a Service with
 * equal hashes share a bundle. Returns 0 where OpenSSL has failed. */
int sf_dependency_hash(apr_pool_t *pool, const char *runtime, json_object *versions,
                       char hash[SF_SHA256_HEX + 1]);

/* Returns the payload of INSTALL, with the limits of the configuration. With `is_check`, the runner installs nothing, and
 * says within `seconds` whether the registry has the versions. */
const char *sf_dependency_request(apr_pool_t *pool, const char *runtime, json_object *versions,
                                  int seconds, int is_check);

#endif
