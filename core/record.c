#include "core/record.h"

#include "core/config.h"
#include "core/json.h"
#include "core/secret.h"
#include "core/sid.h"

#include <apr_strings.h>
#include <apr_time.h>
#include <openssl/crypto.h>
#include <string.h>

#define PLACEHOLDER_LENGTH 4 /* {ZH} */

struct sf_record {
    const sf_request *request;
    const sf_resource *resource;
    json_object *object;
    json_object *links;
    char *url;      /* the base, and room for a path behind it */
    char *url_path; /* where that begins */
};


/* Paths ------------------------------------------------------------------------------------------ */

apr_size_t sf_record_path_room(const char *pattern)
{
    apr_size_t room = strlen(pattern) + 1;

    for (; *pattern; pattern++) {
        room += *pattern == '{' ? SF_SID_LENGTH : 0;
    }
    return room;
}

char *sf_record_path(char *to, const char *pattern, const sf_resource *resource, sf_rows *rows,
                     int row)
{
    while (*pattern) {
        if (*pattern == '{') {
            const char *prefix = pattern + 1;
            const char *uuid = sf_rows_value(rows, row, sf_resource_column(resource, prefix));

            to = sf_sid_write(to, prefix, uuid ? uuid : "");
            pattern += PLACEHOLDER_LENGTH;
        }
        else {
            *to++ = *pattern++;
        }
    }
    *to = '\0';
    return to;
}


/* Properties ------------------------------------------------------------------------------------- */

static json_object *member(json_object *object, const char *name)
{
    json_object *value = NULL;

    json_object_object_get_ex(object, name, &value);
    return value;
}

/* Sets a member to a text, in place where there was one before. */
static void set_text(json_object *object, const char *name, const char *text, apr_size_t length)
{
    json_object *value = member(object, name);

    if (value) {
        json_object_set_string_len(value, text, (int)length);
    }
    else {
        sf_json_add(object, name, json_object_new_string_len(text, (int)length));
    }
}

static void set_flag(json_object *object, const char *name, const char *value)
{
    sf_json_add(object, name, json_object_new_boolean(*value == 't'));
}

static void set_sid(json_object *object, const sf_property *property, const char *uuid)
{
    char sid[SF_SID_LENGTH + 1];

    sf_sid_write(sid, property->detail, uuid);
    set_text(object, property->name, sid, SF_SID_LENGTH);
}

/* Whole seconds, UTC, ISO 8601 with a literal Z. */
static void set_date(json_object *object, const char *name, const char *microseconds)
{
    apr_time_exp_t at;
    char text[sizeof("2018-11-10T20:00:00Z") + 8];
    int length;

    apr_time_exp_gmt(&at, apr_atoi64(microseconds));
    length = apr_snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ", at.tm_year + 1900,
                          at.tm_mon + 1, at.tm_mday, at.tm_hour, at.tm_min, at.tm_sec);
    set_text(object, name, text, (apr_size_t)length);
}

static void set_host(sf_record *record, const char *name, const char *host)
{
    const char *whole
        = apr_pstrcat(record->request->r->pool, host, ".", sf_domain(record->request->r), NULL);

    set_text(record->object, name, whole, strlen(whole));
}

/* What a row's secret says in clear; the caller wipes it. */
static const sf_error *open_secret(const sf_request *request, sf_rows *rows, int row,
                                   const char *sealed, char text[SF_SECRET_MAX + 1])
{
    const sf_resource *resource = request->resource;
    const sf_caller caller = { request->r->pool, request->r->server, request->r };
    char context[SF_SECRET_CONTEXT];

    sf_secret_context(context, sf_rows_value(rows, row, sf_resource_column(resource, "ZE")),
                      sf_rows_value(rows, row, sf_resource_column(resource, "ZV")));
    return sf_secret_open(&caller, context, sealed, text);
}

static void set_secret(sf_record *record, const char *name, sf_rows *rows, int row,
                       const char *sealed)
{
    char text[SF_SECRET_MAX + 1];

    if (open_secret(record->request, rows, row, sealed, text)) {
        sf_json_add(record->object, name, NULL); /* rather than what the row before had */
    }
    else {
        set_text(record->object, name, text, strlen(text));
    }
    OPENSSL_cleanse(text, sizeof(text));
}

static void set_value(sf_record *record, const sf_property *property, sf_rows *rows, int row,
                      const char *value)
{
    json_object *object = record->object;

    if (!value) {
        sf_json_add(object, property->name, NULL);
        return;
    }
    switch (property->kind) {
    case SF_AS_SID:
        set_sid(object, property, value);
        break;
    case SF_AS_FLAG:
        set_flag(object, property->name, value);
        break;
    case SF_AS_DATE:
        set_date(object, property->name, value);
        break;
    case SF_AS_JSON:
        sf_json_add(object, property->name, sf_json_raw(value));
        break;
    case SF_AS_HOST:
        set_host(record, property->name, value);
        break;
    case SF_AS_SECRET:
        set_secret(record, property->name, rows, row, value);
        break;
    default:
        set_text(object, property->name, value, strlen(value));
    }
}

/* `end` is where the address's NUL stands; the link's suffix goes there for the moment. */
static void set_link(sf_record *record, const sf_property *property, char *end)
{
    apr_size_t suffix = strlen(property->detail);

    memcpy(end, property->detail, suffix + 1);
    set_text(record->links, property->name, record->url, (apr_size_t)(end - record->url) + suffix);
    *end = '\0';
}


/* Records ---------------------------------------------------------------------------------------- */

/* Of one column, in the rows that are not an empty list's. */
static const sf_error *check_column(const sf_request *request, sf_rows *rows, int column)
{
    const sf_error *error = NULL;
    char text[SF_SECRET_MAX + 1];
    int row;

    for (row = 0; row < sf_rows_count(rows) && !error; row++) {
        const char *sealed = sf_rows_value(rows, row, column);

        error = sealed ? open_secret(request, rows, row, sealed, text) : NULL;
    }
    OPENSSL_cleanse(text, sizeof(text));
    return error;
}

const sf_error *sf_record_check(const sf_request *request, sf_rows *rows)
{
    const sf_property *properties = request->resource->properties;
    const sf_error *error = NULL;
    int i;

    for (i = 0; properties[i].name && !error; i++) {
        if (properties[i].kind == SF_AS_SECRET) {
            error = check_column(request, rows, SF_COLUMN(i));
        }
    }
    return error;
}

static apr_size_t longest_link(const sf_resource *resource)
{
    apr_size_t longest = 0;
    const sf_property *property;

    for (property = resource->properties; property->name; property++) {
        if (property->kind == SF_AS_LINK && strlen(property->detail) > longest) {
            longest = strlen(property->detail);
        }
    }
    return longest;
}

sf_record *sf_record_make(const sf_request *request)
{
    const sf_resource *resource = request->resource;
    apr_pool_t *pool = request->r->pool;
    sf_record *record = apr_pcalloc(pool, sizeof(*record));
    const char *base_url = sf_request_base_url(request);
    apr_size_t base = strlen(base_url);

    record->request = request;
    record->resource = resource;
    record->object = sf_json_object(pool);
    record->url
        = apr_palloc(pool, base + sf_record_path_room(resource->pattern) + longest_link(resource));
    memcpy(record->url, base_url, base);
    record->url_path = record->url + base;
    return record;
}

const char *sf_record_text(sf_record *record, sf_rows *rows, int row, apr_size_t *length)
{
    const sf_resource *resource = record->resource;
    char *end = sf_record_path(record->url_path, resource->pattern, resource, rows, row);
    int i;

    for (i = 0; resource->properties[i].name; i++) {
        const sf_property *property = &resource->properties[i];

        if (property->kind == SF_AS_URL) {
            set_text(record->object, property->name, record->url, (apr_size_t)(end - record->url));
        }
        else if (property->kind == SF_AS_LINK) {
            if (!record->links) {
                record->links = json_object_new_object();
                sf_json_add(record->object, "links", record->links);
            }
            set_link(record, property, end);
        }
        else {
            set_value(record, property, rows, row, sf_rows_value(rows, row, SF_COLUMN(i)));
        }
    }
    return sf_json_text(record->object, length);
}

const char *sf_record_url(const sf_record *record)
{
    return record->url;
}
