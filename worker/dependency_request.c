#include "worker/dependency_request.h"

#include "core/config.h"
#include "core/json.h"

#include <stdlib.h>
#include <string.h>

json_object *sf_dependency_versions(apr_pool_t *pool, const char *dependencies)
{
    json_object *list = json_tokener_parse(dependencies);
    json_object *versions = sf_json_object(pool);
    size_t i;

    for (i = 0; i < json_object_array_length(list); i++) {
        json_object *dependency = json_object_array_get_idx(list, i);

        json_object_object_add(versions,
                               json_object_get_string(json_object_object_get(dependency, "name")),
                               json_object_get(json_object_object_get(dependency, "version")));
    }
    json_object_put(list);
    return versions;
}

static int compare_names(const void *one, const void *other)
{
    return strcmp(*(const char *const *)one, *(const char *const *)other);
}

int sf_dependency_hash(apr_pool_t *pool, const char *runtime, json_object *versions,
                       char hash[SF_SHA256_HEX + 1])
{
    const int count = json_object_object_length(versions);
    const char **names = apr_palloc(pool, (apr_size_t)count * sizeof(*names));
    sf_sha256 sum;
    int i = 0;

    json_object_object_foreach(versions, each, unused)
    {
        (void)unused;
        names[i++] = each;
    }
    qsort(names, (size_t)count, sizeof(*names), compare_names);
    sf_sha256_begin(&sum, pool);
    sf_sha256_add(&sum, runtime, strlen(runtime) + 1);
    for (i = 0; i < count; i++) {
        const char *version = json_object_get_string(json_object_object_get(versions, names[i]));

        sf_sha256_add(&sum, names[i], strlen(names[i]) + 1);
        sf_sha256_add(&sum, version, strlen(version) + 1);
    }
    return sf_sha256_end(&sum, hash);
}

const char *sf_dependency_request(apr_pool_t *pool, const char *runtime, json_object *versions,
                                  int seconds, int is_check)
{
    json_object *request = sf_json_object(pool);

    sf_json_add(request, "runtime", json_object_new_string(runtime));
    sf_json_add(request, "dependencies", json_object_get(versions));
    sf_json_add(request, "seconds", json_object_new_int(seconds));
    sf_json_add(request, "bytes", json_object_new_int64(sf_config_bundle_limit()));
    sf_json_add(request, "check", json_object_new_boolean(is_check));
    return sf_json_text(request, NULL);
}
