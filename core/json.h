/* Makes and reads JSON with json-c. Objects are owned by pools; out of memory aborts, as in APR. */
#ifndef SF_JSON_H
#define SF_JSON_H

#include <apr_pools.h>
#include <json-c/json.h>
#include <stdint.h>

/* Returns a new object that lives as long as `pool`. */
json_object *sf_json_object(apr_pool_t *pool);

/* Returns a new string that lives as long as `pool` and is empty until its text is set. */
json_object *sf_json_string(apr_pool_t *pool);
void sf_json_set_text(json_object *string, const char *text);

/* Adds a member of a name that the object does not have yet. The object then owns `value`; NULL is
 * JSON's null. `name` must outlive the object. */
void sf_json_add(json_object *object, const char *name, json_object *value);

/* Returns a value for text that is JSON already, which is passed on unchanged. The caller owns
 * it. */
json_object *sf_json_raw(const char *json);

/* Returns a value as compact JSON, which is valid until the value changes. Its length in bytes
 * goes to `length`, unless that is NULL. */
const char *sf_json_text(json_object *value, apr_size_t *length);

/* Returns the number that a member of an object has; 0 where there is no such member, or no object. */
int64_t sf_json_number(json_object *object, const char *name);

#endif
