/* Reads the JSON of LEASE and WARM. */
#ifndef SF_DEMAND_H
#define SF_DEMAND_H

#include "runtime/runner/pool.h"

#include <json-c/json.h>

/* Reads a JSON object of `length` bytes, which a NUL follows. Returns it, to be released by
 * json_object_put(); or NULL where the bytes are no object. */
json_object *sf_demand_object(const char *text, apr_size_t length);

/* Reads an integer member of an object. Returns whether it is there and from `least` to `most`. */
int sf_demand_integer(const json_object *object, const char *name, apr_int64_t least,
                      apr_int64_t most, apr_int64_t *value);

/* Reads a demand. Returns whether all of its members are there and within their bounds. */
int sf_demand_read(const char *text, apr_size_t length, sf_demand *demand);

#endif
