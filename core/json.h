/* json-c, with its objects owned by pools. */
#ifndef SF_JSON_H
#define SF_JSON_H

#include <apr_pools.h>
#include <json-c/json.h>

/* A new object that lives as long as `pool`. Never NULL. */
json_object *sf_json_object(apr_pool_t *pool);

/* A new string, empty at first, that lives as long as `pool`; and the text that is in it from now on. */
json_object *sf_json_string(apr_pool_t *pool);
void sf_json_set_text(json_object *string, const char *text);

/* Adds a member of a name that the object does not have yet; the object then owns `value` (NULL is
 * JSON's null). `name` must outlive the object. */
void sf_json_add(json_object *object, const char *name, json_object *value);

/* A value that is JSON already and passes through as it is, as PostgreSQL made it. */
json_object *sf_json_raw(const char *json);

/* A value as compact JSON, valid until it next changes; its length in bytes goes to `length`, which may
 * be NULL. */
const char *sf_json_text(json_object *value, apr_size_t *length);

#endif
