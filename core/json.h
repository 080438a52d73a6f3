/* json-c, with its objects owned by pools. */
#ifndef SF_JSON_H
#define SF_JSON_H

#include <apr_pools.h>
#include <json-c/json.h>

/* A new object that lives as long as `pool`. Never NULL. */
json_object *sf_json_object(apr_pool_t *pool);

/* Adds a member of a name that the object does not have yet; the object then owns `value` (NULL is
 * JSON's null). `name` must outlive the object. */
void sf_json_add(json_object *object, const char *name, json_object *value);

/* A value that is JSON already and passes through as it is, as PostgreSQL made it. */
json_object *sf_json_raw(const char *json);

/* A part of a value that is JSON already: its text, and the length in bytes. */
typedef struct {
    const char *text;
    int length;
} sf_json_part;

/* A value that json-c need not look into. It is written as the parts are at that time, up to one
 * without a text; they must outlive it. */
json_object *sf_json_verbatim(const sf_json_part *parts);

/* Changes the text of a string; NULL makes it JSON's null until it has a text again. */
void sf_json_set_text(json_object *string, const char *text);

/* The object as compact JSON, valid until it next changes; its length in bytes goes to `length`. */
const char *sf_json_text(json_object *object, apr_size_t *length);

#endif
