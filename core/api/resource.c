#include "core/api/resource.h"

#include <string.h>

int sf_resource_column(const sf_resource *resource, const char *prefix)
{
    int i;

    for (i = 0; resource->properties[i].name; i++) {
        if (resource->properties[i].kind == SF_JSON_SID
            && strncmp(resource->properties[i].detail, prefix, SF_SID_PREFIX) == 0) {
            return SF_COLUMN(i);
        }
    }
    return -1;
}

int sf_resource_columns(const sf_resource *resource)
{
    int count = 0;

    while (resource->properties[count].name && resource->properties[count].kind != SF_JSON_URL) {
        count++;
    }
    return SF_COLUMN(count);
}

int sf_resource_list_columns(const sf_resource *resource)
{
    return sf_resource_columns(resource) + (resource->has_large_rows ? SF_PAGE_COLUMNS : 0);
}

int sf_resource_revision_column(const sf_resource *resource)
{
    int column = -1;
    int i;

    for (i = 0; resource->properties[i].name; i++) {
        if (resource->properties[i].kind == SF_JSON_DATE) {
            column = SF_COLUMN(i);
        }
    }
    return column;
}

const char *sf_resource_list_path(apr_pool_t *pool, const sf_resource *resource, sf_rows *rows)
{
    const char *pattern = resource->pattern;
    const char *end = strrchr(pattern, '/');
    char *path = apr_palloc(pool, (apr_size_t)(end - pattern) + SF_PATH_SIDS * SF_SID_LENGTH + 1);
    char *to = path;

    while (pattern < end) {
        if (*pattern == '{') {
            const char *prefix = pattern + 1;
            const char *uuid = sf_rows_value(rows, 0, sf_resource_column(resource, prefix));

            to = sf_sid_write(to, prefix, uuid ? uuid : "");
            pattern += SF_PLACEHOLDER_LENGTH;
        }
        else {
            *to++ = *pattern++;
        }
    }
    *to = '\0';
    return path;
}
