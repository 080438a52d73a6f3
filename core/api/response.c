#include "core/api/response.h"

#include "core/api/row_json.h"
#include "core/http/conditional.h"
#include "core/json.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#define JSON_TYPE "application/json"

static void send_json(request_rec *r, int status, const char *body, apr_size_t length)
{
    r->status = status;
    ap_set_content_type(r, JSON_TYPE);
    ap_set_content_length(r, (apr_off_t)length);
    ap_rwrite(body, (int)length, r);
}

/* Replaces the Cache-Control of sf_conditional_tag(), so it is called later. */
static void forbid_storing(const sf_request *request)
{
    if (request->resource->no_store) {
        apr_table_setn(request->r->headers_out, "Cache-Control", "no-store");
    }
}

void sf_response_status(const sf_request *request, int status)
{
    if (status < HTTP_BAD_REQUEST) {
        request->r->status = status;
    }
    else {
        sf_response_error(request->r, sf_error_of_status(request->r->pool, status));
    }
}

void sf_response_resource(const sf_request *request, int status, sf_rows *rows)
{
    request_rec *r = request->r;
    sf_row_json *serialiser = sf_row_json_acquire(request);
    const int revision = sf_resource_revision_column(request->resource);
    apr_size_t length;
    const char *body = sf_row_json_write(serialiser, rows, 0, &length);
    int condition;

    sf_conditional_tag(request, revision < 0 ? NULL : sf_rows_value(rows, 0, revision),
                       sf_rows_page_token_key(rows), body, length);
    forbid_storing(request);
    condition = sf_conditional_status(request);
    if (condition != OK) {
        sf_response_status(request, condition);
    }
    else {
        if (status == HTTP_CREATED) {
            apr_table_setn(r->headers_out, "Location", sf_row_json_url(serialiser));
        }
        send_json(r, status, body, length);
    }
    sf_row_json_release(serialiser);
}

void sf_response_no_content(const sf_request *request)
{
    request->r->status = HTTP_NO_CONTENT;
}

void sf_response_error(request_rec *r, const sf_error *error)
{
    apr_size_t length;
    const char *body = sf_error_body(r->pool, error, &length);

    sf_error_headers(r, error);
    send_json(r, error->status, body, length);
}


/* Lists ------------------------------------------------------------------------------------------ */

typedef struct {
    const sf_request *request;
    sf_rows *rows;
    const sf_page *page;
    const sf_page_scope *scope;
    int count;        /* rows of this page */
    int has_older;    /* an older row follows the page */
    int has_no_newer; /* no newer row precedes the page */
    const char *url;  /* the list's, without its query */
} list_page;

/* Returns the uuid in the SID of a row's resource, or NULL in the one row of an empty list. */
static const char *sid_of_row(const list_page *list, int row)
{
    return sf_rows_value(list->rows, row, SF_COLUMN_SID);
}

/* Returns a flag that the statement of a resource with large rows has returned for a row. */
static int page_flag(const list_page *list, int row, int column)
{
    const char *value
        = sf_rows_value(list->rows, row, sf_resource_columns(list->request->resource) + column);

    return value && *value == 't';
}

/* Returns whether a row belongs to the page by its bytes. */
static int fits_page(const list_page *list, int row)
{
    return !list->request->resource->has_large_rows || page_flag(list, row, SF_COLUMN_ON_PAGE);
}

/* Counts the page's rows. The statement returns more than these if an older one follows. */
static void count_rows(list_page *list)
{
    const int count = sid_of_row(list, 0) ? sf_rows_count(list->rows) : 0;

    while (list->count < count && list->count < list->page->size && fits_page(list, list->count)) {
        list->count++;
    }
    list->has_older = list->count < count;
}

/* Whether fewer rows are newer than page->row than a page before it has room for. Then the
 * statement has filled the page up with that row and older ones, or there are too few of these as
 * well. */
static int is_filled_up(const list_page *list)
{
    char last[SF_SID_LENGTH + 1];

    if (list->count < list->page->size) {
        return 1;
    }
    sf_sid_write(last, "  ", sid_of_row(list, list->count - 1));
    return strcmp(last + SF_SID_PREFIX, list->page->row) <= 0;
}

/* Whether no newer row precedes the page. Where rows are large, pages on the way back may be more
 * than on the way there, so that their numbers do not tell it. */
static int is_newest(const list_page *list)
{
    if (list->request->resource->has_large_rows && list->page->direction == SF_PAGE_BEFORE) {
        return !page_flag(list, 0, SF_COLUMN_HAS_NEWER);
    }
    return list->page->number == 0
           || (list->page->direction == SF_PAGE_BEFORE && is_filled_up(list));
}

static json_object *page_url(const list_page *list, int number, const char *token)
{
    return json_object_new_string(apr_psprintf(
        list->request->r->pool, "%s?%sPageSize=%d&Page=%d%s%s", list->url, list->scope->filters,
        list->page->size, number, token ? "&PageToken=" : "", token ? token : ""));
}

/* Returns NULL, which becomes JSON's null, for the last page. */
static json_object *next_page_url(const list_page *list)
{
    const char *token;

    if (!list->has_older) {
        return NULL;
    }
    token = sf_page_token(list->request->r->pool, SF_PAGE_FROM, sid_of_row(list, list->count),
                          list->scope);
    return page_url(list, list->page->number + 1, token);
}

/* Returns NULL, which becomes JSON's null, for the first page. An empty page has lost the row that
 * it began at, but ends at the same place. */
static json_object *previous_page_url(const list_page *list)
{
    const char *first = list->count > 0 ? sid_of_row(list, 0) : list->page->row;
    const int number = list->page->number > 0 ? list->page->number - 1 : 0;
    const char *token;

    if (list->has_no_newer) {
        return NULL;
    }
    token = sf_page_token(list->request->r->pool, SF_PAGE_BEFORE, first, list->scope);
    return page_url(list, number, token);
}

static const char *meta_text(const list_page *list, apr_size_t *length)
{
    json_object *meta = sf_json_object(list->request->r->pool);
    const int number = list->page->number;

    sf_json_add(meta, "first_page_url", page_url(list, 0, NULL));
    sf_json_add(meta, "key", json_object_new_string(list->request->resource->key));
    sf_json_add(meta, "next_page_url", next_page_url(list));
    sf_json_add(meta, "page", json_object_new_int(number));
    sf_json_add(meta, "page_size", json_object_new_int(list->page->size));
    sf_json_add(meta, "previous_page_url", previous_page_url(list));
    sf_json_add(meta, "url", page_url(list, number, list->page->token));
    return sf_json_text(meta, length);
}

static void send_rows(const list_page *list)
{
    request_rec *r = list->request->r;
    sf_row_json *serialiser = sf_row_json_acquire(list->request);
    int i;

    for (i = 0; i < list->count; i++) {
        apr_size_t length;
        const char *text = sf_row_json_write(serialiser, list->rows, i, &length);

        if (i > 0) {
            ap_rputs(",", r);
        }
        ap_rwrite(text, (int)length, r);
    }
    sf_row_json_release(serialiser);
}

void sf_response_list(const sf_request *request, sf_rows *rows, const sf_page *page,
                      const sf_page_scope *scope)
{
    request_rec *r = request->r;
    list_page list = { .request = request, .rows = rows, .page = page, .scope = scope };
    apr_size_t length;
    const char *meta;

    list.url = apr_pstrcat(r->pool, sf_request_base_url(request), scope->list, NULL);
    count_rows(&list);
    list.has_no_newer = is_newest(&list);
    meta = meta_text(&list, &length);

    r->status = HTTP_OK;
    forbid_storing(request);
    ap_set_content_type(r, JSON_TYPE);
    ap_rvputs(r, "{\"", request->resource->key, "\":[", NULL);
    send_rows(&list);
    ap_rputs("],\"meta\":", r);
    ap_rwrite(meta, (int)length, r);
    ap_rputs("}", r);
}
