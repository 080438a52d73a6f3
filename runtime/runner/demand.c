#include "runtime/runner/demand.h"

#include "core/json_text.h"

#include <stddef.h>
#include <string.h>

#define DAY (24 * 60 * 60)

/* The smallest memory with which node starts, and the largest. */
#define MEMORY_MIN (64LL * 1024 * 1024)
#define MEMORY_MAX (64LL * 1024 * 1024 * 1024)

static const struct sid {
    const char *name;
    const char *prefix;
    size_t offset;
} sids[] = {
    { "environment", "ZE", offsetof(sf_demand, environment) },
    { "account", "AC", offsetof(sf_demand, account) },
    { "build", "ZB", offsetof(sf_demand, build) },
};

static const struct number {
    const char *name;
    int least;
    int most;
    size_t offset;
} numbers[] = {
    { "concurrency", 1, 100000, offsetof(sf_demand, concurrency) },
    { "isolates", 1, 100000, offsetof(sf_demand, isolates) },
    { "idle", 1, DAY, offsetof(sf_demand, idle) },
    { "calls", 1, 1000000000, offsetof(sf_demand, calls) },
    { "timeout", 1, DAY, offsetof(sf_demand, timeout) },
    { "wait", 0, DAY * 1000, offsetof(sf_demand, wait) },
};

json_object *sf_demand_object(const char *text, apr_size_t length)
{
    json_object *object;

    if (strlen(text) != length || !sf_json_is_valid(text)) {
        return NULL;
    }
    object = json_tokener_parse(text);
    if (!json_object_is_type(object, json_type_object)) {
        json_object_put(object);
        return NULL;
    }
    return object;
}

int sf_demand_integer(const json_object *object, const char *name, apr_int64_t least,
                      apr_int64_t most, apr_int64_t *value)
{
    json_object *member;

    if (!json_object_object_get_ex(object, name, &member)
        || !json_object_is_type(member, json_type_int)) {
        return 0;
    }
    *value = json_object_get_int64(member);
    return *value >= least && *value <= most;
}

/* Returns the text of a member, or "". */
static const char *text_of(const json_object *object, const char *name)
{
    json_object *member;

    return json_object_object_get_ex(object, name, &member)
                   && json_object_is_type(member, json_type_string)
               ? json_object_get_string(member)
               : "";
}

/* Reads a SID. Its letters become lower case: it may be the name of a folder. */
static int read_sid(const json_object *object, const struct sid *sid, sf_demand *demand)
{
    char digits[SF_SID_DIGITS + 1];
    char *to = (char *)demand + sid->offset;

    if (!sf_sid_parse(text_of(object, sid->name), sid->prefix, digits)) {
        return 0;
    }
    memcpy(to, sid->prefix, SF_SID_PREFIX);
    memcpy(to + SF_SID_PREFIX, digits, sizeof(digits));
    return 1;
}

static int read_number(const json_object *object, const struct number *number, sf_demand *demand)
{
    apr_int64_t value;

    if (!sf_demand_integer(object, number->name, number->least, number->most, &value)) {
        return 0;
    }
    *(int *)(void *)((char *)demand + number->offset) = (int)value;
    return 1;
}

static int read_runtime(const json_object *object, sf_demand *demand)
{
    const char *name = text_of(object, "runtime");

    if (!*name || strlen(name) > SF_RUNTIME_NAME_MAX) {
        return 0;
    }
    memcpy(demand->runtime, name, strlen(name) + 1);
    return 1;
}

static int read_members(const json_object *object, sf_demand *demand)
{
    int right = read_runtime(object, demand)
                && sf_demand_integer(object, "memory", MEMORY_MIN, MEMORY_MAX, &demand->memory);
    size_t i;

    for (i = 0; i < sizeof(sids) / sizeof(*sids); i++) {
        right = right && read_sid(object, &sids[i], demand);
    }
    for (i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        right = right && read_number(object, &numbers[i], demand);
    }
    return right;
}

int sf_demand_read(const char *text, apr_size_t length, sf_demand *demand)
{
    json_object *object = sf_demand_object(text, length);
    int right;

    memset(demand, 0, sizeof(*demand));
    right = object && read_members(object, demand);
    json_object_put(object);
    return right;
}
