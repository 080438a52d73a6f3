#include "core/content/upload.h"

#include "core/api/idempotency.h"
#include "core/api/operation.h"
#include "core/api/response.h"
#include "core/content/path.h"
#include "core/crypto/sha256_error.h"
#include "core/http/body.h"
#include "core/http/multipart.h"
#include "core/log.h"
#include "core/storage/spool.h"
#include "core/utf8.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_log.h>
#include <string.h>

/* Bytes of a body besides Content: delimiters, headers, the other parts. */
#define OVERHEAD_BYTES (64 * 1024)

/* Bytes of Path or Visibility: 255 characters, and one byte more, so that a longer value is
 * noticed. */
#define FIELD_BYTES (4 * 255 + 1)

/* The type of content without a valid type of its own, and the most bytes of a type. */
#define UNKNOWN_TYPE "application/octet-stream"
#define TYPE_MAX 255

/* A part that is a short text. */
typedef struct {
    char bytes[FIELD_BYTES + 1];
    apr_size_t length;
    int given;
} field;

typedef enum { PART_OTHER, PART_PATH, PART_VISIBILITY, PART_CONTENT } part_kind;

typedef struct {
    sf_request *request;
    apr_pool_t *pool;
    const sf_upload_kind *kind;
    apr_off_t limit;       /* bytes of Content */
    const sf_error *error; /* that stops the parts: refuse() sets it, feed_body() returns it */
    sf_multipart body;
    part_kind part; /* the part that is being read */
    field path;
    field visibility;
    int content_given;
    const char *content_type;
    sf_spool *content;
    sf_utf8 text;
    const char *version_path; /* checked, with its slash */
    const char *version_visibility;
    sf_idempotency once;
    sf_rows *rows; /* of the Version */
} upload;

/* Returns the error for a failed spool: 500 where OpenSSL cannot hash, else 503, and a log line. */
static const sf_error *no_spool(const upload *form, apr_status_t rv)
{
    request_rec *r = form->request->r;
    const sf_caller caller = sf_caller_of(r);

    if (rv == SF_SPOOL_NO_HASH) {
        return sf_sha256_failed(&caller);
    }
    sf_log_limited(&caller, APLOG_ERR, "SF0008", "a temporary file fails: %pm", &rv);
    return sf_error_of_status(r->pool, HTTP_SERVICE_UNAVAILABLE);
}


/* Parts --------------------------------------------------------------------------------------- */

/* Stops the parts with an error. Returns 0, as a sink's function does to stop the parser. */
static int refuse(upload *form, const sf_error *error)
{
    form->error = error;
    return 0;
}

/* Records that a part was given. Returns 0 where it was given before. */
static int mark_given(upload *form, const char *name, int *given)
{
    if (*given) {
        return refuse(form, sf_error_bad_request(form->pool, "%s is given more than once", name));
    }
    *given = 1;
    return 1;
}

/* Returns whether the text is a media type: a name, and parameters of printable characters.
 * Downloads send it as a header, so that it must not hold anything else. */
static int is_type(const char *text)
{
    const char *slash = ap_scan_http_token(text);
    const char *end = *slash == '/' ? ap_scan_http_token(slash + 1) : slash;

    if (slash == text || end <= slash + 1) {
        return 0;
    }
    end += strspn(end, " ");
    if (*end != ';' && *end != '\0') {
        return 0;
    }
    while (apr_isprint(*end)) {
        end++;
    }
    return !*end && end - text <= TYPE_MAX;
}

static const char *valid_type(apr_pool_t *pool, const char *type)
{
    return type && is_type(type) ? apr_pstrdup(pool, type) : UNKNOWN_TYPE;
}

/* Begins a part. Parts of other names are skipped, as unknown parameters are. */
static int part_begin(void *data, const char *name, const char *type)
{
    upload *form = data;

    form->part = PART_OTHER;
    if (strcmp(name, "Path") == 0) {
        form->part = PART_PATH;
        return mark_given(form, name, &form->path.given);
    }
    if (strcmp(name, "Visibility") == 0) {
        form->part = PART_VISIBILITY;
        return mark_given(form, name, &form->visibility.given);
    }
    if (strcmp(name, "Content") == 0) {
        form->part = PART_CONTENT;
        form->content_type = valid_type(form->pool, type);
        return mark_given(form, name, &form->content_given);
    }
    return 1;
}

static int append_field(upload *form, field *text, const char *bytes, apr_size_t size)
{
    if (size > FIELD_BYTES - text->length) {
        return refuse(form, sf_error_bad_request(form->pool, "Path and Visibility must not be "
                                                             "longer than 255 characters"));
    }
    memcpy(text->bytes + text->length, bytes, size);
    text->length += size;
    return 1;
}

static int append_content(upload *form, const char *bytes, apr_size_t size)
{
    apr_status_t rv;

    if (form->kind->is_text && !sf_utf8_feed(&form->text, bytes, size)) {
        return refuse(form, sf_error_bad_request(form->pool, "Content must be UTF-8 without NUL"));
    }
    rv = sf_spool_write(form->content, bytes, size);
    if (rv == APR_ENOSPC && form->content->size + (apr_off_t)size > form->limit) {
        return refuse(form,
                      sf_error_make(form->pool, HTTP_REQUEST_ENTITY_TOO_LARGE,
                                    "Content must not be larger than %" APR_OFF_T_FMT " bytes",
                                    form->limit));
    }
    return rv == APR_SUCCESS ? 1 : refuse(form, no_spool(form, rv));
}

static int part_bytes(void *data, const char *bytes, size_t size)
{
    upload *form = data;

    switch (form->part) {
    case PART_PATH:
        return append_field(form, &form->path, bytes, size);
    case PART_VISIBILITY:
        return append_field(form, &form->visibility, bytes, size);
    case PART_CONTENT:
        return append_content(form, bytes, size);
    default:
        return 1;
    }
}

static int part_end(void *data)
{
    upload *form = data;

    if (form->part == PART_CONTENT && form->kind->is_text && !sf_utf8_is_whole(&form->text)) {
        return refuse(form, sf_error_bad_request(form->pool, "Content must be UTF-8 without NUL"));
    }
    return 1;
}

static const sf_multipart_sink part_sink = { part_begin, part_bytes, part_end };


/* The body ------------------------------------------------------------------------------------ */

/* Sends bytes of the body to the parser. Returns NULL, or the error that stopped the parser or a
 * part. */
static const sf_error *feed_body(void *data, const char *bytes, apr_size_t size)
{
    upload *form = data;

    if (sf_multipart_feed(&form->body, bytes, size)) {
        return NULL;
    }
    if (form->body.error) {
        refuse(form, sf_error_bad_request(form->pool, "%s", form->body.error));
    }
    return form->error;
}

/* Reads the body's parts. 415 where it is not multipart/form-data, 400 where it is malformed,
 * and the errors of sf_body_stream() and of the parts. */
static const sf_error *read_body(upload *form)
{
    static const char type[] = "multipart/form-data";
    request_rec *r = form->request->r;
    const char *content_type = apr_table_get(r->headers_in, "Content-Type");
    char boundary[SF_MULTIPART_BOUNDARY_MAX + 1];
    const sf_error *error;
    const char *message;

    if (!content_type || ap_cstr_casecmpn(content_type, type, sizeof(type) - 1) != 0
        || !strchr("; \t", content_type[sizeof(type) - 1])) {
        return sf_error_make(r->pool, HTTP_UNSUPPORTED_MEDIA_TYPE, "The content type must be %s",
                             type);
    }
    message = sf_multipart_boundary(content_type, boundary);
    if (message) {
        return sf_error_bad_request(form->pool, "%s", message);
    }
    sf_multipart_begin(&form->body, boundary, &part_sink, form);
    error = sf_body_stream(r, form->limit + OVERHEAD_BYTES, feed_body, form);
    if (!error && !sf_multipart_is_whole(&form->body)) {
        error = sf_error_bad_request(form->pool, "The body ends before its last delimiter");
    }
    return error;
}


/* Parameters ---------------------------------------------------------------------------------- */

/* Checks Path and adds the slash that it may begin without. */
static const sf_error *check_path(const upload *form, const char **value)
{
    const char *path = form->path.bytes;
    const char *message;

    if (!*path) {
        return sf_error_bad_request(form->pool, "Missing required parameter Path in the post body");
    }
    if (strlen(path) != form->path.length || sf_utf8_length(path) < 0) {
        return sf_error_bad_request(form->pool, "Path is not valid UTF-8");
    }
    if (*path != '/') {
        path = apr_pstrcat(form->pool, "/", path, NULL);
    }
    if (sf_utf8_length(path) > 255) {
        return sf_error_bad_request(form->pool, "Path must not be longer than 255 characters");
    }
    message = sf_path_message(form->pool, path);
    *value = path;
    return message ? sf_error_bad_request(form->pool, "%s", message) : NULL;
}

/* Checks Visibility, in any case, and writes it in lower case. */
static const sf_error *check_visibility(const upload *form, const char **value)
{
    static const char *const visibilities[] = { "public", "protected", "private" };
    size_t i;

    if (form->visibility.length == 0) {
        return sf_error_bad_request(form->pool,
                                    "Missing required parameter Visibility in the post body");
    }
    for (i = 0; i < sizeof(visibilities) / sizeof(*visibilities); i++) {
        if (ap_cstr_casecmp(form->visibility.bytes, visibilities[i]) == 0
            && strlen(visibilities[i]) == form->visibility.length) {
            *value = visibilities[i];
            return NULL;
        }
    }
    return sf_error_bad_request(form->pool, "Visibility must be public, protected or private");
}


/* The database -------------------------------------------------------------------------------- */

/* Adds all chunks of the content but the first. */
static const sf_error *add_chunks(sf_transaction *transaction, upload *form)
{
    const char *service
        = sf_rows_value(form->rows, 0, sf_resource_column(form->request->resource, "ZS"));
    const sf_error *error = NULL;
    apr_pool_t *scratch;
    int i;

    apr_pool_create(&scratch, form->pool);
    for (i = 1; i < sf_spool_chunks(form->content) && !error; i++) {
        sf_rows *rows;
        const char *chunk = sf_spool_chunk(form->content, i, scratch);
        const char *values[] = { service, form->content->sha256, apr_itoa(scratch, i), chunk };

        error = chunk ? sf_db_step(transaction, SF_STATEMENT_CONTENT_CHUNK_ADD, values, &rows)
                      : no_spool(form, APR_EGENERAL);
        apr_pool_clear(scratch);
    }
    apr_pool_destroy(scratch);
    return error;
}

/* Creates the Version's row and, if no other Version has the same content, the content's chunks. */
static const sf_error *create_version(sf_transaction *transaction, upload *form)
{
    const sf_resource *resource = form->request->resource;
    const char *values[] = { form->version_path,
                             form->version_visibility,
                             form->content_type,
                             form->content->sha256,
                             apr_off_t_toa(form->pool, form->content->size),
                             sf_spool_chunk(form->content, 0, form->pool) };
    const sf_operation create = { .statement = resource->create.statement,
                                  .scope = sf_scope_of_path(form->request),
                                  .count = 6,
                                  .values = values };
    const char *is_new;

    if (!values[5]) {
        return no_spool(form, APR_EGENERAL);
    }
    SF_TRY(sf_operation_step(form->request, transaction, &create, &form->rows));
    is_new = sf_rows_value(form->rows, 0, sf_resource_columns(resource));
    return is_new && *is_new == 't' ? add_chunks(transaction, form) : NULL;
}

static const sf_error *create_version_once(sf_transaction *transaction, void *data)
{
    upload *form = data;

    SF_TRY(sf_idempotency_claim(&form->once, transaction, &form->rows));
    if (form->rows) {
        return NULL;
    }
    SF_TRY(create_version(transaction, form));
    return sf_idempotency_record(&form->once, transaction, form->rows);
}

/* Creates the Version in a transaction, or finds the one that the request's Idempotency-Key created. */
static const sf_error *store_version(upload *form)
{
    const sf_caller caller = sf_caller_of(form->request->r);
    const char *parameters[] = { form->version_path, form->version_visibility, form->content_type,
                                 form->content->sha256 };

    SF_TRY(sf_idempotency_read(&form->once, form->request, 4, parameters));
    SF_TRY(sf_db_transaction(&caller, create_version_once, form));
    sf_idempotency_set_header(&form->once);
    return NULL;
}

static const sf_error *check_parts(upload *form)
{
    SF_TRY(check_path(form, &form->version_path));
    SF_TRY(check_visibility(form, &form->version_visibility));
    return form->content_given
               ? NULL
               : sf_error_bad_request(form->pool,
                                      "Missing required parameter Content in the post body");
}

/* Checks the parts that were read, and stores the Version. */
static const sf_error *make_version(upload *form)
{
    apr_status_t rv;

    SF_TRY(check_parts(form));
    rv = sf_spool_finish(form->content);
    return rv == APR_SUCCESS ? store_version(form) : no_spool(form, rv);
}

/* Checks that the path's Function or Asset exists. If not, the connection is closed after the
 * answer, so that the client does not send the body. */
static const sf_error *prepare_upload(sf_request *request, const sf_upload_kind *kind)
{
    const sf_operation operation
        = { .statement = kind->prepare, .scope = sf_scope_of_path(request) };
    sf_rows *rows;
    const sf_error *error = sf_operation_run(request, &operation, &rows);

    if (error) {
        request->r->connection->keepalive = AP_CONN_CLOSE;
    }
    return error;
}

const sf_error *sf_upload(sf_request *request)
{
    const sf_upload_kind *kind = request->resource->upload;
    upload *form = apr_pcalloc(request->r->pool, sizeof(*form));

    SF_TRY(prepare_upload(request, kind));
    form->request = request;
    form->pool = request->r->pool;
    form->kind = kind;
    form->limit = kind->limit();
    form->content = sf_spool_make(request->r->pool, form->limit);
    SF_TRY(read_body(form));
    SF_TRY(make_version(form));
    sf_response_resource(request, HTTP_CREATED, form->rows);
    return NULL;
}
