#include "core/json.h"

#include <stdlib.h>
#include <string.h>

static apr_status_t put_object(void *object)
{
    json_object_put(object);
    return APR_SUCCESS;
}

/* Has the pool own an object; aborts if json-c had no memory for it, as APR does. */
static json_object *own_object(apr_pool_t *pool, json_object *object)
{
    if (!object) {
        abort();
    }
    apr_pool_cleanup_register(pool, object, put_object, apr_pool_cleanup_null);
    return object;
}

json_object *sf_json_object(apr_pool_t *pool)
{
    return own_object(pool, json_object_new_object());
}

json_object *sf_json_string(apr_pool_t *pool)
{
    return own_object(pool, json_object_new_string(""));
}

void sf_json_set_text(json_object *string, const char *text)
{
    if (!json_object_set_string_len(string, text, (int)strlen(text))) {
        abort();
    }
}

void sf_json_add(json_object *object, const char *name, json_object *value)
{
    json_object_object_add_ex(object, name, value,
                              JSON_C_OBJECT_ADD_CONSTANT_KEY | JSON_C_OBJECT_ADD_KEY_IS_NEW);
}

json_object *sf_json_raw(const char *json)
{
    json_object *value = json_object_new_string("");

    json_object_set_serializer(value, json_object_userdata_to_json_string, strdup(json),
                               json_object_free_userdata);
    return value;
}

const char *sf_json_text(json_object *value, apr_size_t *length)
{
    return json_object_to_json_string_length(
        value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, length);
}

int64_t sf_json_number(json_object *object, const char *name)
{
    json_object *value = NULL;

    json_object_object_get_ex(object, name, &value);
    return json_object_get_int64(value);
}
