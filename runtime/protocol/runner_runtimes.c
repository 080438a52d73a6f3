#include "runtime/protocol/runner_runtimes.h"

#include "runtime/protocol/runner_link.h"

#include <apr_strings.h>
#include <json-c/json.h>
#include <unistd.h>

/* How long the runner has to answer, in milliseconds. */
#define ANSWER_PATIENCE 1000

/* Returns the names in the JSON of a HELLO, or NULL where it has none. */
static apr_array_header_t *read_names(apr_pool_t *pool, const char *text)
{
    json_object *hello = json_tokener_parse(text);
    json_object *list = json_object_object_get(hello, "runtimes");
    apr_array_header_t *names = NULL;
    size_t i;

    if (json_object_is_type(list, json_type_array)) {
        names = apr_array_make(pool, 8, sizeof(const char *));
        for (i = 0; i < json_object_array_length(list); i++) {
            APR_ARRAY_PUSH(names, const char *)
                = apr_pstrdup(pool, json_object_get_string(json_object_array_get_idx(list, i)));
        }
    }
    json_object_put(hello);
    return names;
}

apr_array_header_t *sf_runner_runtimes(apr_pool_t *pool, const char *path)
{
    unsigned char *packet = apr_palloc(pool, SF_CONTROL_PACKET + 1);
    apr_array_header_t *names = NULL;
    sf_control_message message;
    sf_runner_link link;

    if (sf_runner_link_open(&link, path) != APR_SUCCESS) {
        return NULL;
    }
    if (sf_runner_link_receive(&link, ANSWER_PATIENCE, packet, &message) == 0
        && message.type == SF_CONTROL_HELLO) {
        names = read_names(pool, message.payload);
    }
    close(link.socket);
    return names;
}
