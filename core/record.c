#include "core/record.h"

#include "core/config.h"
#include "core/date.h"
#include "core/json.h"
#include "core/secret.h"
#include "core/sid.h"

#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <openssl/crypto.h>
#include <string.h>

#define PLACEHOLDER_LENGTH 4 /* {ZH} */

/* A SID or a date with its quotes. */
#define OWN_TEXT_ROOM (SF_SID_LENGTH + 3)

_Static_assert(OWN_TEXT_ROOM >= SF_DATE_ROOM + 2, "dates fit as well");

/* What stays on the shelf: so many records, of so many bytes of text. */
#define SHELF_ROOM 64
#define SHELF_TEXT_MAX 4096

/* A property and its value in json-c's object. That of an SF_AS_TEXT, SF_AS_HOST or SF_AS_SECRET is a
 * string of json-c's, which knows what is to be escaped in it. Any other is made of parts that need
 * nothing of the kind. */
typedef struct {
    const sf_property *property;
    json_object *value;
    sf_json_part parts[3];
    char own[OWN_TEXT_ROOM]; /* text of a part */
    sf_date_day day;
} field;

/* A {ZH} of the path: the field that has the SID, and where in the address it goes. */
typedef struct {
    const field *sid;
    char *at;
} placeholder;

struct sf_record {
    sf_record *next;  /* on the shelf */
    apr_pool_t *pool; /* its own */
    const sf_resource *resource;
    const sf_request *request; /* that has it now */
    json_object *object;
    json_object *links;                         /* a member of it, or NULL */
    field *fields;                              /* ends with one that has no property */
    placeholder placeholders[SF_PATH_SIDS + 1]; /* ends with one that has no SID */
    const char *base_url;
    sf_json_part address; /* as JSON, the closing quote aside */
    const char *path;     /* where the row's own path stands in there */
    int must_go;          /* what it has shown is secret, or large */
};

/* Records that nobody has: making one costs more than filling it. The one that was used last is the
 * first, since its memory is still in the processor's caches. */
static struct {
    apr_thread_mutex_t *mutex;
    apr_pool_t *pool;
    sf_record *first;
    int count;
} shelf;


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


/* Values of a row -------------------------------------------------------------------------------- */

static void set_part(field *field, const char *text, apr_size_t length)
{
    field->parts[0].text = text;
    field->parts[0].length = (int)length;
}

static void set_sid(field *field, const char *uuid)
{
    char *end = sf_sid_write(field->own + 1, field->property->detail, uuid);

    *end++ = '"';
    set_part(field, field->own, (apr_size_t)(end - field->own));
}

static void set_date(field *field, const char *microseconds)
{
    char *end = sf_date_write(field->own + 1, &field->day, microseconds);

    *end++ = '"';
    set_part(field, field->own, (apr_size_t)(end - field->own));
}

static void set_flag(field *field, const char *value)
{
    const char *text = *value == 't' ? "true" : "false";

    set_part(field, text, strlen(text));
}

static const char *host(const sf_record *record, const char *name)
{
    const request_rec *r = record->request->r;

    return name ? apr_pstrcat(r->pool, name, ".", sf_domain(r), NULL) : NULL;
}

/* What is not a text, and not NULL. */
static void set_part_of_kind(field *field, const char *value)
{
    switch (field->property->kind) {
    case SF_AS_SID:
        set_sid(field, value);
        break;
    case SF_AS_FLAG:
        set_flag(field, value);
        break;
    case SF_AS_DATE:
        set_date(field, value);
        break;
    default:
        set_part(field, value, strlen(value));
    }
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

/* NULL rather than what the row before had, where it cannot be read. */
static void set_secret(const sf_record *record, field *field, sf_rows *rows, int row,
                       const char *sealed)
{
    char text[SF_SECRET_MAX + 1];
    const int opened = sealed && !open_secret(record->request, rows, row, sealed, text);

    sf_json_set_text(field->value, opened ? text : NULL);
    OPENSSL_cleanse(text, sizeof(text));
}

static void set_value(const sf_record *record, field *field, sf_rows *rows, int row,
                      const char *value)
{
    switch (field->property->kind) {
    case SF_AS_HOST:
        sf_json_set_text(field->value, host(record, value));
        break;
    case SF_AS_TEXT:
        sf_json_set_text(field->value, value);
        break;
    case SF_AS_SECRET:
        set_secret(record, field, rows, row, value);
        break;
    default:
        if (value) {
            set_part_of_kind(field, value);
        }
        else {
            set_part(field, "null", 4);
        }
    }
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

/* The address as far as all rows have it in common, with room for their SIDs. */
static void lay_out_address(sf_record *record)
{
    placeholder *next = record->placeholders;
    const sf_resource *resource = record->resource;
    const char *pattern = resource->pattern;
    json_object *base = json_object_new_string(record->base_url);
    apr_size_t length;
    const char *text = sf_json_text(base, &length);
    char *address = apr_palloc(record->pool, length + sf_record_path_room(resource->pattern));
    char *at = address + length - 1; /* without the closing quote */

    memcpy(address, text, length);
    json_object_put(base);
    record->path = at;
    while (*pattern) {
        if (*pattern == '{') {
            next->sid = &record->fields[sf_resource_column(resource, pattern + 1) - SF_COLUMN(0)];
            next++->at = at;
            at += SF_SID_LENGTH;
            pattern += PLACEHOLDER_LENGTH;
        }
        else {
            *at++ = *pattern++;
        }
    }
    *at = '\0';
    record->address = (sf_json_part){ address, (int)(at - address) };
}

/* The parts of an address with something behind it. */
static void set_address(const sf_record *record, field *field, const char *behind)
{
    field->parts[0] = record->address;
    field->parts[1] = (sf_json_part){ behind, (int)strlen(behind) };
}

static json_object *links_of(sf_record *record)
{
    if (!record->links) {
        record->links = json_object_new_object();
        sf_json_add(record->object, "links", record->links);
    }
    return record->links;
}

static void add_field(sf_record *record, field *field)
{
    const sf_property *property = field->property;
    const int is_text = property->kind == SF_AS_TEXT || property->kind == SF_AS_HOST
                        || property->kind == SF_AS_SECRET;
    json_object *parent = property->kind == SF_AS_LINK ? links_of(record) : record->object;

    field->value = is_text ? json_object_new_string("") : sf_json_verbatim(field->parts);
    field->own[0] = '"';
    if (property->kind == SF_AS_URL) {
        set_address(record, field, "\"");
    }
    else if (property->kind == SF_AS_LINK) {
        set_address(record, field, apr_pstrcat(record->pool, property->detail, "\"", NULL));
    }
    record->must_go |= property->kind == SF_AS_SECRET;
    sf_json_add(parent, property->name, field->value);
}

static sf_record *make(apr_pool_t *pool, const sf_resource *resource, const char *base_url)
{
    sf_record *record = apr_pcalloc(pool, sizeof(*record));
    int i;

    record->pool = pool;
    record->resource = resource;
    record->base_url = apr_pstrdup(pool, base_url);
    record->object = sf_json_object(pool);
    record->fields = apr_pcalloc(pool, sizeof(field) * (SF_PROPERTIES_MAX + 1));
    lay_out_address(record);
    for (i = 0; resource->properties[i].name; i++) {
        record->fields[i].property = &resource->properties[i];
        add_field(record, &record->fields[i]);
    }
    return record;
}

const char *sf_record_text(sf_record *record, sf_rows *rows, int row, apr_size_t *length)
{
    const placeholder *placeholder;
    const char *text;
    int i;

    for (i = 0; record->fields[i].property; i++) {
        field *field = &record->fields[i];

        if (field->property->kind != SF_AS_URL && field->property->kind != SF_AS_LINK) {
            set_value(record, field, rows, row, sf_rows_value(rows, row, SF_COLUMN(i)));
        }
    }
    for (placeholder = record->placeholders; placeholder->sid; placeholder++) {
        memcpy(placeholder->at, placeholder->sid->own + 1, SF_SID_LENGTH);
    }
    text = sf_json_text(record->object, length);
    record->must_go |= *length > SHELF_TEXT_MAX;
    return text;
}

const char *sf_record_url(const sf_record *record)
{
    return apr_pstrcat(record->request->r->pool, record->base_url, record->path, NULL);
}


/* The shelf -------------------------------------------------------------------------------------- */

apr_status_t sf_record_init(apr_pool_t *pool)
{
    apr_status_t rv = apr_pool_create(&shelf.pool, pool);

    return rv == APR_SUCCESS ? apr_thread_mutex_create(&shelf.mutex, APR_THREAD_MUTEX_DEFAULT, pool)
                             : rv;
}

/* Takes the one at `link` from the shelf. */
static sf_record *take_at(sf_record **link)
{
    sf_record *record = *link;

    *link = record->next;
    shelf.count--;
    return record;
}

static sf_record *find(const sf_resource *resource, const char *base_url)
{
    sf_record **link = &shelf.first;

    while (*link && ((*link)->resource != resource || strcmp((*link)->base_url, base_url) != 0)) {
        link = &(*link)->next;
    }
    return *link ? take_at(link) : NULL;
}

static void remove_oldest(void)
{
    sf_record **link = &shelf.first;

    while ((*link)->next) {
        link = &(*link)->next;
    }
    apr_pool_destroy(take_at(link)->pool);
}

sf_record *sf_record_take(const sf_request *request)
{
    const char *base_url = sf_request_base_url(request);
    sf_record *record;
    apr_pool_t *pool = NULL;

    apr_thread_mutex_lock(shelf.mutex);
    record = find(request->resource, base_url);
    if (!record) {
        apr_pool_create(&pool, shelf.pool);
    }
    apr_thread_mutex_unlock(shelf.mutex);
    record = record ? record : make(pool, request->resource, base_url);
    record->request = request;
    return record;
}

void sf_record_give_back(sf_record *record)
{
    apr_thread_mutex_lock(shelf.mutex);
    if (record->must_go) {
        apr_pool_destroy(record->pool);
    }
    else {
        record->next = shelf.first;
        shelf.first = record;
        if (++shelf.count > SHELF_ROOM) {
            remove_oldest();
        }
    }
    apr_thread_mutex_unlock(shelf.mutex);
}
