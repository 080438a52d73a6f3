#include "core/api/row_json.h"

#include "core/config.h"
#include "core/crypto/secret.h"
#include "core/date.h"
#include "core/json.h"
#include "core/json_text.h"
#include "core/sid.h"

#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <json-c/printbuf.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* Room for a SID or a date with its quotes. */
#define QUOTED_ROOM (SF_SID_LENGTH + 3)

_Static_assert(QUOTED_ROOM >= SF_DATE_ROOM + 2, "dates fit as well");

/* The most serialisers in the free list, and the most bytes of text of each. */
#define FREE_MAX 64
#define FREE_TEXT_MAX 4096

/* A part of the JSON text. */
typedef struct {
    const char *text;
    int length;
} json_fragment;

/* A member of the JSON object: a property and its value. Kinds of text that may need escaping are
 * escaped by json-c, through `string`; all others are written as they are. */
typedef struct {
    const sf_property *property;
    json_fragment before;  /* the text that precedes the value, ending with the member's name */
    json_fragment address; /* the text that the value begins with: the resource's address, or "" */
    json_fragment value;
    int is_null;
    json_object *string;
    char quoted[QUOTED_ROOM]; /* the value's text, for SIDs and dates */
    sf_date_day day;
} json_member;

/* A {ZH} of the resource's pattern: the member that has its SID, and its place in the address. */
typedef struct {
    const json_member *sid;
    char *at;
} sid_slot;

struct sf_row_json {
    sf_row_json *next; /* in the free list */
    apr_pool_t *pool;  /* of the serialiser alone */
    const sf_resource *resource;
    const sf_request *request; /* the one that has acquired the serialiser */
    sf_rows *rows;             /* the result set that is being written */
    int row;
    struct printbuf *text;
    json_member *members; /* ends with one that has no property */
    json_fragment end;
    sid_slot slots[SF_PATH_SIDS + 1]; /* ends with one that has no SID */
    const char *base_url;
    json_fragment address; /* as JSON, without the closing quote */
    const char *path;      /* the address behind the base URL */
    int is_not_reusable;   /* the text has been large, or may hold a secret */
};

/* The serialisers that are not acquired; the one that was released last comes first, because the
 * processor's caches still have its memory. Making a serialiser costs more than using it. */
static struct {
    apr_thread_mutex_t *mutex;
    apr_pool_t *pool;
    sf_row_json *first;
    int count;
} free_list;


/* Values of a row -------------------------------------------------------------------------------- */

static json_fragment fragment_of(const char *text)
{
    return (json_fragment){ text, (int)strlen(text) };
}

/* Completes a value: its text stands in `quoted`, up to `end`. */
static void end_quoted(json_member *member, char *end)
{
    *end++ = '"';
    member->value = (json_fragment){ member->quoted, (int)(end - member->quoted) };
}

static const char *host_of(const sf_row_json *serialiser, const char *name)
{
    const request_rec *r = serialiser->request->r;

    return apr_pstrcat(r->pool, name, ".", sf_config_domain(r), NULL);
}

/* Decrypts a Variable's value in a row into `text`, which the caller has to wipe. Returns NULL or
 * the error of sf_secret_open(). */
static const sf_error *open_secret(const sf_request *request, sf_rows *rows, int row,
                                   const char *sealed, char text[SF_SECRET_MAX + 1])
{
    const int environment = sf_resource_column(request->resource, "ZE");
    const sf_caller caller = sf_caller_of(request->r);
    char context[SF_SECRET_CONTEXT];

    sf_secret_context(context, sf_rows_value(rows, row, environment),
                      sf_rows_value(rows, row, SF_COLUMN_SID));
    return sf_secret_open(&caller, context, sealed, text);
}

/* Has json-c escape a text. An empty text does without: json-c 0.16 leaks the memory of a string
 * that becomes empty. */
static void set_escaped(json_member *member, const char *value)
{
    apr_size_t length;

    if (*value) {
        sf_json_set_text(member->string, value);
        member->value.text = sf_json_text(member->string, &length);
        member->value.length = (int)length;
    }
    else {
        member->value = fragment_of("\"\"");
    }
}

/* The value becomes null, and never that of the row before, if it cannot be decrypted. */
static void set_secret(const sf_row_json *serialiser, json_member *member, const char *sealed)
{
    char text[SF_SECRET_MAX + 1];

    member->is_null
        = open_secret(serialiser->request, serialiser->rows, serialiser->row, sealed, text) != NULL;
    if (!member->is_null) {
        set_escaped(member, text);
    }
    OPENSSL_cleanse(text, sizeof(text));
}

/* Takes JSON of the database, which PostgreSQL prints with white space. */
static void set_raw(const sf_row_json *serialiser, json_member *member, const char *json)
{
    apr_size_t length;

    member->value.text = sf_json_compact(serialiser->request->r->pool, json, &length);
    member->value.length = (int)length;
}

static void set_value(const sf_row_json *serialiser, json_member *member, const char *value)
{
    switch (member->property->kind) {
    case SF_JSON_SID:
        end_quoted(member, sf_sid_write(member->quoted + 1, member->property->detail, value));
        break;
    case SF_JSON_FLAG:
        member->value = fragment_of(*value == 't' ? "true" : "false");
        break;
    case SF_JSON_DATE:
        end_quoted(member, sf_date_write(member->quoted + 1, &member->day, value));
        break;
    case SF_JSON_HOST:
        set_escaped(member, host_of(serialiser, value));
        break;
    case SF_JSON_TEXT:
        set_escaped(member, value);
        break;
    case SF_JSON_SECRET:
        set_secret(serialiser, member, value);
        break;
    case SF_JSON_RAW:
        set_raw(serialiser, member, value);
        break;
    default: /* kinds without a column */
        break;
    }
}

static int has_column(const sf_property *property)
{
    return property && property->kind != SF_JSON_URL && property->kind != SF_JSON_LINK;
}

/* Sets the values of the members that have a column; these come first. */
static void set_values(sf_row_json *serialiser)
{
    int i;

    for (i = 0; has_column(serialiser->members[i].property); i++) {
        json_member *member = &serialiser->members[i];
        const char *value = sf_rows_value(serialiser->rows, serialiser->row, SF_COLUMN(i));

        member->is_null = !value;
        if (value) {
            set_value(serialiser, member, value);
        }
    }
}

static void set_address(sf_row_json *serialiser)
{
    const sid_slot *slot;

    for (slot = serialiser->slots; slot->sid; slot++) {
        memcpy(slot->at, slot->sid->quoted + 1, SF_SID_LENGTH);
    }
}


/* Text ------------------------------------------------------------------------------------------- */

/* Uses json-c's macro: a call of the function costs several times as much as the copying. */
static void append_fragment(struct printbuf *to, const json_fragment *fragment)
{
    printbuf_memappend_fast(to, fragment->text, fragment->length);
}

static void append_members(sf_row_json *serialiser)
{
    static const json_fragment null = { "null", 4 };
    const json_member *member;

    printbuf_reset(serialiser->text);
    for (member = serialiser->members; member->property; member++) {
        append_fragment(serialiser->text, &member->before);
        if (member->is_null) {
            append_fragment(serialiser->text, &null);
        }
        else {
            append_fragment(serialiser->text, &member->address);
            append_fragment(serialiser->text, &member->value);
        }
    }
    append_fragment(serialiser->text, &serialiser->end);
}

const char *sf_row_json_write(sf_row_json *serialiser, sf_rows *rows, int row, apr_size_t *length)
{
    serialiser->rows = rows;
    serialiser->row = row;
    set_values(serialiser);
    set_address(serialiser);
    append_members(serialiser);
    *length = (apr_size_t)printbuf_length(serialiser->text);
    if (*length > FREE_TEXT_MAX) {
        serialiser->is_not_reusable = 1;
    }
    return serialiser->text->buf;
}

const char *sf_row_json_url(const sf_row_json *serialiser)
{
    return apr_pstrcat(serialiser->request->r->pool, serialiser->base_url, serialiser->path, NULL);
}


/* Checks ----------------------------------------------------------------------------------------- */

/* Checks that a column's encrypted texts can be decrypted. The row of an empty list has none. */
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

const sf_error *sf_row_json_check(const sf_request *request, sf_rows *rows)
{
    const sf_property *properties = request->resource->properties;
    int i;

    for (i = 0; properties[i].name; i++) {
        if (properties[i].kind == SF_JSON_SECRET) {
            SF_TRY(check_column(request, rows, SF_COLUMN(i)));
        }
    }
    return NULL;
}


/* Serialisers ------------------------------------------------------------------------------------ */

/* Returns a text as a JSON string, with its quotes. */
static const char *json_string_of(apr_pool_t *pool, const char *text)
{
    json_object *string = sf_json_string(pool);

    sf_json_set_text(string, text);
    return sf_json_text(string, NULL);
}

/* Makes the address that all rows have in common, with room for their SIDs. */
static void lay_out_address(sf_row_json *serialiser)
{
    sid_slot *slot = serialiser->slots;
    const sf_resource *resource = serialiser->resource;
    const char *pattern = resource->pattern;
    const char *base = json_string_of(serialiser->pool, serialiser->base_url);
    const apr_size_t length = strlen(base);
    char *address
        = apr_palloc(serialiser->pool, length + strlen(pattern) + SF_PATH_SIDS * SF_SID_LENGTH + 1);
    char *at = apr_cpystrn(address, base, length); /* without the closing quote */

    serialiser->path = at;
    while (*pattern) {
        if (*pattern == '{') {
            slot->sid
                = &serialiser->members[sf_resource_column(resource, pattern + 1) - SF_COLUMN(0)];
            slot++->at = at;
            at += SF_SID_LENGTH;
            pattern += SF_PLACEHOLDER_LENGTH;
        }
        else {
            *at++ = *pattern++;
        }
    }
    *at = '\0';
    serialiser->address = (json_fragment){ address, (int)(at - address) };
}

/* Makes the text around a member's value. The links, which come last, are an object within the
 * object. */
static void lay_out_member(sf_row_json *serialiser, json_member *member,
                           const sf_property *property)
{
    const int is_first = member == serialiser->members;
    const int is_link = property->kind == SF_JSON_LINK;
    const int opens_links = is_link && member[-1].property->kind != SF_JSON_LINK;

    member->property = property;
    member->before = fragment_of(
        apr_pstrcat(serialiser->pool, is_first ? "{" : ",", opens_links ? "\"links\":{" : "",
                    json_string_of(serialiser->pool, property->name), ":", NULL));
    member->quoted[0] = '"';
    member->address = has_column(property) ? fragment_of("") : serialiser->address;
    if (!has_column(property)) {
        member->value = fragment_of(
            apr_pstrcat(serialiser->pool, is_link ? property->detail : "", "\"", NULL));
    }
    serialiser->end = fragment_of(is_link ? "}}" : "}");
}

static apr_status_t free_text(void *text)
{
    printbuf_free(text);
    return APR_SUCCESS;
}

/* Makes a text buffer that lives as long as the pool. Aborts if there is no memory, as APR does. */
static struct printbuf *make_text(apr_pool_t *pool)
{
    struct printbuf *text = printbuf_new();

    if (!text) {
        abort();
    }
    apr_pool_cleanup_register(pool, text, free_text, apr_pool_cleanup_null);
    return text;
}

static void make_string(sf_row_json *serialiser, json_member *member)
{
    const sf_property_kind kind = member->property->kind;

    if (kind == SF_JSON_TEXT || kind == SF_JSON_HOST || kind == SF_JSON_SECRET) {
        member->string = sf_json_string(serialiser->pool);
    }
    if (kind == SF_JSON_SECRET) {
        serialiser->is_not_reusable = 1;
    }
}

static sf_row_json *make_serialiser(apr_pool_t *pool, const sf_resource *resource,
                                    const char *base_url)
{
    sf_row_json *serialiser = apr_pcalloc(pool, sizeof(*serialiser));
    int i;

    serialiser->pool = pool;
    serialiser->resource = resource;
    serialiser->base_url = apr_pstrdup(pool, base_url);
    serialiser->text = make_text(pool);
    serialiser->members = apr_pcalloc(pool, sizeof(json_member) * (SF_PROPERTIES_MAX + 1));
    lay_out_address(serialiser);
    for (i = 0; resource->properties[i].name; i++) {
        lay_out_member(serialiser, &serialiser->members[i], &resource->properties[i]);
        make_string(serialiser, &serialiser->members[i]);
    }
    return serialiser;
}

/* The free list ---------------------------------------------------------------------------------- */

apr_status_t sf_row_json_init(apr_pool_t *pool)
{
    apr_status_t rv = apr_pool_create(&free_list.pool, pool);

    return rv == APR_SUCCESS
               ? apr_thread_mutex_create(&free_list.mutex, APR_THREAD_MUTEX_DEFAULT, pool)
               : rv;
}

/* Removes the serialiser at `link` from the free list. Called with the mutex held, as are the next
 * two. */
static sf_row_json *unlink_serialiser(sf_row_json **link)
{
    sf_row_json *serialiser = *link;

    *link = serialiser->next;
    free_list.count--;
    return serialiser;
}

/* Removes and returns a serialiser for the resource and the base URL, or returns NULL. */
static sf_row_json *find_free(const sf_resource *resource, const char *base_url)
{
    sf_row_json **link = &free_list.first;

    while (*link && ((*link)->resource != resource || strcmp((*link)->base_url, base_url) != 0)) {
        link = &(*link)->next;
    }
    return *link ? unlink_serialiser(link) : NULL;
}

static void destroy_oldest(void)
{
    sf_row_json **link = &free_list.first;

    while ((*link)->next) {
        link = &(*link)->next;
    }
    apr_pool_destroy(unlink_serialiser(link)->pool);
}

sf_row_json *sf_row_json_acquire(const sf_request *request)
{
    const char *base_url = sf_request_base_url(request);
    sf_row_json *serialiser;
    apr_pool_t *pool = NULL;

    apr_thread_mutex_lock(free_list.mutex);
    serialiser = find_free(request->resource, base_url);
    if (!serialiser) {
        apr_pool_create(&pool, free_list.pool);
    }
    apr_thread_mutex_unlock(free_list.mutex);
    serialiser = serialiser ? serialiser : make_serialiser(pool, request->resource, base_url);
    serialiser->request = request;
    return serialiser;
}

void sf_row_json_release(sf_row_json *serialiser)
{
    apr_thread_mutex_lock(free_list.mutex);
    if (serialiser->is_not_reusable) {
        apr_pool_destroy(serialiser->pool);
    }
    else {
        serialiser->next = free_list.first;
        free_list.first = serialiser;
        if (++free_list.count > FREE_MAX) {
            destroy_oldest();
        }
    }
    apr_thread_mutex_unlock(free_list.mutex);
}
