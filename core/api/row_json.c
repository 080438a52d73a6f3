#include "core/api/row_json.h"

#include "core/config.h"
#include "core/crypto/secret.h"
#include "core/date.h"
#include "core/json.h"
#include "core/sid.h"

#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <json-c/printbuf.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define PLACEHOLDER_LENGTH 4 /* {ZH} */

/* A SID or a date with its quotes. */
#define OWN_TEXT_ROOM (SF_SID_LENGTH + 3)

_Static_assert(OWN_TEXT_ROOM >= SF_DATE_ROOM + 2, "dates fit as well");

/* What stays on the shelf: so many records, of so many bytes of text. */
#define SHELF_ROOM 64
#define SHELF_TEXT_MAX 4096

typedef struct {
    const char *text;
    int length;
} part;

/* A property and its value as JSON. That of an SF_JSON_TEXT, SF_JSON_HOST or SF_JSON_SECRET is from a string of
 * json-c's, which knows what is to be escaped in it; any other needs nothing of the kind. */
typedef struct {
    const sf_property *property;
    part before;  /* what precedes the value in the record's text, its name at the end */
    part address; /* what the value begins with: the record's, or "" */
    part value;
    int is_null;
    json_object *string;
    char own[OWN_TEXT_ROOM]; /* text of the value */
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
    struct printbuf *text;
    field *fields; /* ends with one that has no property */
    part end;
    placeholder placeholders[SF_PATH_SIDS + 1]; /* ends with one that has no SID */
    const char *base_url;
    part address;     /* as JSON, the closing quote aside */
    const char *path; /* where the row's own path stands in there */
    int must_go;      /* what it has shown is secret, or large */
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

static part part_of(const char *text)
{
    return (part){ text, (int)strlen(text) };
}

/* The value is what stands in the field's own text up to there. */
static void end_own_text(field *field, char *end)
{
    *end++ = '"';
    field->value = (part){ field->own, (int)(end - field->own) };
}

static const char *host(const sf_record *record, const char *name)
{
    const request_rec *r = record->request->r;

    return apr_pstrcat(r->pool, name, ".", sf_config_domain(r), NULL);
}

/* What a row's secret says in clear; the caller wipes it. */
static const sf_error *open_secret(const sf_request *request, sf_rows *rows, int row,
                                   const char *sealed, char text[SF_SECRET_MAX + 1])
{
    const sf_resource *resource = request->resource;
    const sf_caller caller = sf_caller_of(request->r);
    char context[SF_SECRET_CONTEXT];

    sf_secret_context(context, sf_rows_value(rows, row, sf_resource_column(resource, "ZE")),
                      sf_rows_value(rows, row, sf_resource_column(resource, "ZV")));
    return sf_secret_open(&caller, context, sealed, text);
}

/* An empty text is none of json-c's business: its 0.16 loses the memory of a string that becomes
 * empty. */
static void set_string(field *field, const char *value)
{
    apr_size_t length;

    if (*value) {
        sf_json_set_text(field->string, value);
        field->value.text = sf_json_text(field->string, &length);
        field->value.length = (int)length;
    }
    else {
        field->value = part_of("\"\"");
    }
}

/* NULL rather than what the row before had, where it cannot be read. */
static void set_secret(const sf_record *record, field *field, sf_rows *rows, int row,
                       const char *sealed)
{
    char text[SF_SECRET_MAX + 1];

    field->is_null = open_secret(record->request, rows, row, sealed, text) != NULL;
    if (!field->is_null) {
        set_string(field, text);
    }
    OPENSSL_cleanse(text, sizeof(text));
}

static void set_value(const sf_record *record, field *field, sf_rows *rows, int row,
                      const char *value)
{
    switch (field->property->kind) {
    case SF_JSON_SID:
        end_own_text(field, sf_sid_write(field->own + 1, field->property->detail, value));
        break;
    case SF_JSON_FLAG:
        field->value = part_of(*value == 't' ? "true" : "false");
        break;
    case SF_JSON_DATE:
        end_own_text(field, sf_date_write(field->own + 1, &field->day, value));
        break;
    case SF_JSON_HOST:
        set_string(field, host(record, value));
        break;
    case SF_JSON_TEXT:
        set_string(field, value);
        break;
    case SF_JSON_SECRET:
        set_secret(record, field, rows, row, value);
        break;
    default:
        field->value = part_of(value);
    }
}

static int has_column(const sf_property *property)
{
    return property && property->kind != SF_JSON_URL && property->kind != SF_JSON_LINK;
}

/* Those without a column come last. */
static void set_values(sf_record *record, sf_rows *rows, int row)
{
    int i;

    for (i = 0; has_column(record->fields[i].property); i++) {
        field *field = &record->fields[i];
        const char *value = sf_rows_value(rows, row, SF_COLUMN(i));

        field->is_null = !value;
        if (value) {
            set_value(record, field, rows, row, value);
        }
    }
}


/* Text ------------------------------------------------------------------------------------------- */

/* A macro, which looks for room itself: calling json-c's function costs several times what the copying
 * does. */
static void append(struct printbuf *to, const part *part)
{
    printbuf_memappend_fast(to, part->text, part->length);
}

static void write_text(sf_record *record)
{
    static const part null = { "null", 4 };
    const field *field;

    printbuf_reset(record->text);
    for (field = record->fields; field->property; field++) {
        append(record->text, &field->before);
        if (field->is_null) {
            append(record->text, &null);
        }
        else {
            append(record->text, &field->address);
            append(record->text, &field->value);
        }
    }
    append(record->text, &record->end);
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
        if (properties[i].kind == SF_JSON_SECRET) {
            error = check_column(request, rows, SF_COLUMN(i));
        }
    }
    return error;
}

/* A text as JSON. */
static const char *quoted(apr_pool_t *pool, const char *text)
{
    json_object *string = sf_json_string(pool);

    sf_json_set_text(string, text);
    return sf_json_text(string, NULL);
}

/* The address as far as all rows have it in common, with room for their SIDs. */
static void lay_out_address(sf_record *record)
{
    placeholder *next = record->placeholders;
    const sf_resource *resource = record->resource;
    const char *pattern = resource->pattern;
    const char *base = quoted(record->pool, record->base_url);
    const apr_size_t length = strlen(base);
    char *address = apr_palloc(record->pool, length + sf_record_path_room(resource->pattern));
    char *at = apr_cpystrn(address, base, length); /* without the closing quote */

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
    record->address = (part){ address, (int)(at - address) };
}

/* The next field's part of the text; the links, which are the last ones, are an object of their own. */
static void lay_out_field(sf_record *record, field *field, const sf_property *property)
{
    const int is_first = field == record->fields;
    const int is_link = property->kind == SF_JSON_LINK;
    const int opens_links = is_link && field[-1].property->kind != SF_JSON_LINK;

    field->property = property;
    field->before
        = part_of(apr_pstrcat(record->pool, is_first ? "{" : ",", opens_links ? "\"links\":{" : "",
                              quoted(record->pool, property->name), ":", NULL));
    field->own[0] = '"';
    field->address = has_column(property) ? part_of("") : record->address;
    if (!has_column(property)) {
        field->value
            = part_of(apr_pstrcat(record->pool, is_link ? property->detail : "", "\"", NULL));
    }
    record->end = part_of(is_link ? "}}" : "}");
}

static apr_status_t release_text(void *text)
{
    printbuf_free(text);
    return APR_SUCCESS;
}

/* Aborts where there is no memory, as apr does. */
static struct printbuf *new_text(apr_pool_t *pool)
{
    struct printbuf *text = printbuf_new();

    if (!text) {
        abort();
    }
    apr_pool_cleanup_register(pool, text, release_text, apr_pool_cleanup_null);
    return text;
}

static void add_string(sf_record *record, field *field)
{
    const sf_property_kind kind = field->property->kind;

    if (kind == SF_JSON_TEXT || kind == SF_JSON_HOST || kind == SF_JSON_SECRET) {
        field->string = sf_json_string(record->pool);
    }
    record->must_go |= kind == SF_JSON_SECRET;
}

static sf_record *make(apr_pool_t *pool, const sf_resource *resource, const char *base_url)
{
    sf_record *record = apr_pcalloc(pool, sizeof(*record));
    int i;

    record->pool = pool;
    record->resource = resource;
    record->base_url = apr_pstrdup(pool, base_url);
    record->text = new_text(pool);
    record->fields = apr_pcalloc(pool, sizeof(field) * (SF_PROPERTIES_MAX + 1));
    lay_out_address(record);
    for (i = 0; resource->properties[i].name; i++) {
        lay_out_field(record, &record->fields[i], &resource->properties[i]);
        add_string(record, &record->fields[i]);
    }
    return record;
}

const char *sf_record_text(sf_record *record, sf_rows *rows, int row, apr_size_t *length)
{
    const placeholder *placeholder;

    set_values(record, rows, row);
    for (placeholder = record->placeholders; placeholder->sid; placeholder++) {
        memcpy(placeholder->at, placeholder->sid->own + 1, SF_SID_LENGTH);
    }
    write_text(record);
    *length = (apr_size_t)printbuf_length(record->text);
    record->must_go |= *length > SHELF_TEXT_MAX;
    return record->text->buf;
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
