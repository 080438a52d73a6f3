/* JSON by json-c, with objects that pools own. */
#ifndef SF_JSON_H
#define SF_JSON_H

#include <apr_pools.h>
#include <json-c/json.h>

/* A new object that lives as long as `pool`. Never NULL. */
json_object *sf_json_object(apr_pool_t *pool);

/* A new, empty string that lives as long as `pool`. */
json_object *sf_json_string(apr_pool_t *pool);

/* Replaces the text of a string. */
void sf_json_set_text(json_object *string, const char *text);

/* Adds a member; its name must be new to the object. The object owns `value` then; NULL is JSON's null.
 * `name` must outlive the object. */
void sf_json_add(json_object *object, const char *name, json_object *value);

/* A value from JSON text, such as PostgreSQL's, that is written unchanged. */
json_object *sf_json_raw(const char *json);

/* Returns a value as compact JSON, valid until the value changes, and its length in bytes in `length`, which may
 * be NULL. */
const char *sf_json_text(json_object *value, apr_size_t *length);

#endif
