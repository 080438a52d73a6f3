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

int sf_resource_key_column(const sf_resource *resource)
{
    return sf_resource_column(resource, strrchr(resource->pattern, '{') + 1);
}

int sf_resource_columns(const sf_resource *resource)
{
    int count = 0;

    while (resource->properties[count].name && resource->properties[count].kind != SF_JSON_URL) {
        count++;
    }
    return SF_COLUMN(count);
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
