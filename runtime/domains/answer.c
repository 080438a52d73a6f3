#include "runtime/domains/answer.h"

#include <apr_buckets.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <json-c/json.h>
#include <string.h>
#include <util_filter.h>

/* The most arrays and objects inside each other: the head, its headers, one of them. */
#define DEPTH 4

#define STATUS_MIN 200
#define STATUS_MAX 599

/* Headers that httpd makes, or that belong to a connection. */
static const char *const ignored[]
    = { "Connection",        "Content-Length",      "Date",   "Keep-Alive", "Proxy-Authenticate",
        "Proxy-Connection",  "Proxy-Authorization", "Server", "TE",         "Trailer",
        "Transfer-Encoding", "Twilio-Request-Id",   "Upgrade" };


/* Reading ---------------------------------------------------------------------------------------- */

static int is_ignored(const char *name)
{
    apr_size_t i;

    for (i = 0; i < sizeof(ignored) / sizeof(*ignored); i++) {
        if (ap_cstr_casecmp(name, ignored[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Returns the text of a string without a NUL in it, or NULL. */
static const char *text_of(json_object *value)
{
    const char *text
        = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;

    return text && strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}

/* Adds a header of two strings. */
static sf_answer_result add_header(sf_answer *answer, json_object *pair, const char **reason)
{
    const int is_pair
        = json_object_is_type(pair, json_type_array) && json_object_array_length(pair) == 2;
    const char *name = is_pair ? text_of(json_object_array_get_idx(pair, 0)) : NULL;
    const char *value = is_pair ? text_of(json_object_array_get_idx(pair, 1)) : NULL;

    if (!name || !value || !*name || *ap_scan_http_token(name)
        || *ap_scan_http_field_content(value)) {
        *reason = "a header whose name or value is not allowed";
        return SF_ANSWER_ILLEGAL;
    }
    if (!is_ignored(name)) {
        apr_table_add(answer->headers, name, value);
    }
    return SF_ANSWER_OK;
}

/* Whether there are too many headers, or too long ones. */
static int is_too_large(const apr_table_t *headers)
{
    const apr_array_header_t *all = apr_table_elts(headers);
    apr_size_t bytes = 0;
    int i;

    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *header = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        bytes += strlen(header->key) + strlen(header->val);
    }
    return all->nelts > SF_HEADERS_MAX || bytes > SF_HEADERS_BYTES_MAX;
}

static sf_answer_result read_headers(sf_answer *answer, json_object *list, const char **reason)
{
    sf_answer_result result = SF_ANSWER_OK;
    size_t i;

    for (i = 0; i < json_object_array_length(list) && result == SF_ANSWER_OK; i++) {
        result = add_header(answer, json_object_array_get_idx(list, i), reason);
    }
    if (result == SF_ANSWER_OK && is_too_large(answer->headers)) {
        *reason = "too many headers, or too long ones";
        return SF_ANSWER_TOO_MANY_HEADERS;
    }
    return result;
}

/* Reads the head as an object. */
static sf_answer_result read_head(sf_answer *answer, json_object *head, const char **reason)
{
    json_object *status = NULL;
    json_object *headers = NULL;
    json_object *failed = NULL;

    json_object_object_get_ex(head, "status", &status);
    json_object_object_get_ex(head, "headers", &headers);
    json_object_object_get_ex(head, "error", &failed);
    if (!json_object_is_type(headers, json_type_array)
        || !json_object_is_type(failed, json_type_boolean)) {
        *reason = "an answer that is none of the protocol";
        return SF_ANSWER_WRONG;
    }
    answer->failed = json_object_get_boolean(failed);
    if (!json_object_is_type(status, json_type_int) || json_object_get_int64(status) < STATUS_MIN
        || json_object_get_int64(status) > STATUS_MAX) {
        *reason = "a status that is not from 200 to 599";
        return SF_ANSWER_ILLEGAL;
    }
    answer->status = json_object_get_int(status);
    return read_headers(answer, headers, reason);
}

/* Returns the JSON of a text that has nothing behind it, or NULL. The caller puts it. */
static json_object *parse(const char *text, size_t length)
{
    json_tokener *tokener = json_tokener_new_ex(DEPTH);
    json_object *object = json_tokener_parse_ex(tokener, text, (int)length);

    if (json_tokener_get_error(tokener) != json_tokener_success
        || json_tokener_get_parse_end(tokener) != length) {
        json_object_put(object);
        object = NULL;
    }
    json_tokener_free(tokener);
    return object;
}

sf_answer_result sf_answer_read(apr_pool_t *pool, const sf_frame *frame, sf_answer *answer,
                                const char **reason)
{
    sf_answer_result result = SF_ANSWER_WRONG;
    json_object *object;
    const char *head;
    size_t length;

    *reason = "an answer that is none of the protocol";
    memset(answer, 0, sizeof(*answer));
    if (!sf_frame_divide(frame, &head, &length, &answer->body, &answer->length)
        || length > SF_FRAME_HEAD_MAX) {
        return SF_ANSWER_WRONG;
    }
    object = parse(head, length);
    if (json_object_is_type(object, json_type_object)) {
        answer->headers = apr_table_make(pool, 10);
        result = read_head(answer, object, reason);
    }
    json_object_put(object);
    return result;
}


/* Sending ---------------------------------------------------------------------------------------- */

/* Copies the headers. A type replaces one of the administrator's (ForceType). */
static void set_headers(request_rec *r, const sf_answer *answer)
{
    const char *type = apr_table_get(answer->headers, "Content-Type");

    ap_set_content_type(r, type);
    apr_table_unset(answer->headers, "Content-Type");
    if (apr_table_get(answer->headers, "X-Content-Type-Options")) {
        apr_table_unset(r->err_headers_out, "X-Content-Type-Options");
    }
    r->headers_out = apr_table_overlay(r->pool, r->headers_out, answer->headers);
}

static int has_body(const sf_answer *answer)
{
    return answer->status != HTTP_NO_CONTENT && answer->status != HTTP_NOT_MODIFIED;
}

int sf_answer_send(request_rec *r, const sf_answer *answer)
{
    apr_bucket_alloc_t *alloc = r->connection->bucket_alloc;
    apr_bucket_brigade *brigade = apr_brigade_create(r->pool, alloc);

    r->status = answer->status;
    r->status_line = ap_get_status_line_ex(
        r->pool, answer->status);            /* of statuses that httpd does not know, too */
    apr_table_unset(r->headers_in, "Range"); /* httpd would answer with a part */
    set_headers(r, answer);
    if (has_body(answer)) {
        ap_set_content_length(r, (apr_off_t)answer->length);
        if (answer->length > 0) {
            APR_BRIGADE_INSERT_TAIL(
                brigade, apr_bucket_pool_create(answer->body, answer->length, r->pool, alloc));
        }
    }
    APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_eos_create(alloc));
    ap_pass_brigade(r->output_filters, brigade);
    return OK;
}
