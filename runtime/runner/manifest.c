#include "runtime/runner/manifest.h"

#include "runtime/runner/demand.h"

#include <apr_file_io.h>
#include <apr_strings.h>
#include <string.h>

/* Returns the text of a file, with its length, or NULL. */
static char *read_file(const char *path, apr_size_t *length, apr_pool_t *pool)
{
    apr_file_t *file;
    apr_finfo_t found;
    char *text = NULL;

    if (apr_file_open(&file, path, APR_FOPEN_READ, 0, pool) != APR_SUCCESS) {
        return NULL;
    }
    if (apr_file_info_get(&found, APR_FINFO_SIZE, file) == APR_SUCCESS) {
        text = apr_pcalloc(pool, (apr_size_t)found.size + 1);
        if (apr_file_read_full(file, text, (apr_size_t)found.size, length) != APR_SUCCESS
            && found.size > 0) {
            text = NULL;
        }
    }
    apr_file_close(file);
    return text;
}

/* Whether the object `entry` has a `file` that was sent and is in the folder. */
static int is_entry(json_object *entry, const char *folder, apr_hash_t *files)
{
    json_object *file;
    const char *name;

    if (!json_object_object_get_ex(entry, "file", &file)
        || !json_object_is_type(file, json_type_string)) {
        return 0;
    }
    name = json_object_get_string(file);
    return strncmp(name, folder, strlen(folder)) == 0
           && apr_hash_get(files, name, APR_HASH_KEY_STRING) != NULL;
}

/* Checks the object `member` of the manifest; the files of its entries are in the folder. */
static const char *check_entries(json_object *manifest, const char *member, const char *folder,
                                 apr_hash_t *files, apr_pool_t *pool)
{
    json_object *entries;

    if (!json_object_object_get_ex(manifest, member, &entries)
        || !json_object_is_type(entries, json_type_object)) {
        return apr_psprintf(pool, "the manifest has no object %s", member);
    }
    json_object_object_foreach(entries, name, entry)
    {
        if (!json_object_is_type(entry, json_type_object) || !is_entry(entry, folder, files)) {
            return apr_psprintf(pool, "the manifest names a file for %s that was not sent",
                                apr_pstrdup(pool, name));
        }
    }
    return NULL;
}

const char *sf_manifest_check(const char *path, apr_hash_t *files, apr_pool_t *pool)
{
    apr_size_t length = 0;
    const char *text = read_file(path, &length, pool);
    json_object *manifest = text ? sf_demand_object(text, length) : NULL;
    const char *message;

    if (!manifest) {
        return "the manifest is no JSON object";
    }
    message = check_entries(manifest, "functions", "handlers/", files, pool);
    message = message ? message : check_entries(manifest, "assets", "files/", files, pool);
    json_object_put(manifest);
    return message;
}
