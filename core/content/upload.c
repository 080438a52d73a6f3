#include "core/content/upload.h"

#include "core/api/idempotency.h"
#include "core/api/operation.h"
#include "core/api/response.h"
#include "core/http/body.h"
#include "core/http/multipart.h"
#include "core/log.h"
#include "core/storage/spool.h"
#include "core/utf8.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_log.h>
#include <string.h>

/* What a body may have besides Content: delimiters, headers, the other parts. */
#define OVERHEAD (64 * 1024)

/* Bytes of Path or Visibility that are kept; longer ones are refused anyway. */
#define FIELD_BYTES (4 * 255 + 1)

/* Of content whose type nobody said; and how long one may be. */
#define UNKNOWN_TYPE "application/octet-stream"
#define TYPE_MAX 255

typedef struct {
    char bytes[FIELD_BYTES + 1];
    apr_size_t length;
    int given;
} field;

typedef enum { NO_PART, PATH, VISIBILITY, CONTENT } part;

typedef struct {
    sf_request *request;
    apr_pool_t *pool;
    const sf_upload_kind *kind;
    apr_off_t limit;       /* bytes of Content */
    const sf_error *error; /* why the parts were stopped */
    sf_multipart body;
    part part;
    field path;
    field visibility;
    int content_given;
    const char *content_type;
    sf_spool *content;
    sf_utf8 text;
    sf_rows *rows;
} upload;

/* 503: the temporary file cannot be written or read; 500 where there is no hash. */
static const sf_error *no_spool(const upload *upload, apr_status_t rv)
{
    request_rec *r = upload->request->r;
    const sf_caller caller = sf_caller_of(r);

    if (rv == SF_SPOOL_NO_HASH) {
        return sf_sha256_failed(&caller);
    }
    sf_log(&caller, APLOG_ERR, "SF0008", "a temporary file fails: %pm", &rv);
    return sf_error_of_status(r->pool, HTTP_SERVICE_UNAVAILABLE);
}


/* Parts ------------------------------------------------------------------------------------------ */

static int once(upload *upload, const char *name, int *given)
{
    if (*given) {
        upload->error = sf_error_bad_request(upload->pool, "%s is given more than once", name);
        return 0;
    }
    return *given = 1;
}

/* Whether it is a type and nothing that those who fetch the content later could take for more: a name,
 * and parameters in printable characters. */
static int is_type(const char *text)
{
    const char *slash = ap_scan_http_token(text);
    const char *end = *slash == '/' ? ap_scan_http_token(slash + 1) : slash;

    if (slash == text || end <= slash + 1 || !strchr("; ", *end)) {
        return 0;
    }
    while (apr_isprint(*end)) {
        end++;
    }
    return !*end && end - text <= TYPE_MAX;
}

static const char *known_type(apr_pool_t *pool, const char *type)
{
    return type && is_type(type) ? apr_pstrdup(pool, type) : UNKNOWN_TYPE;
}

/* Parts of other names are read over, as unknown parameters are. */
static int begin(void *data, const char *name, const char *type)
{
    upload *upload = data;

    upload->part = NO_PART;
    if (strcmp(name, "Path") == 0) {
        upload->part = PATH;
        return once(upload, name, &upload->path.given);
    }
    if (strcmp(name, "Visibility") == 0) {
        upload->part = VISIBILITY;
        return once(upload, name, &upload->visibility.given);
    }
    if (strcmp(name, "Content") == 0) {
        upload->part = CONTENT;
        upload->content_type = known_type(upload->pool, type);
        return once(upload, name, &upload->content_given);
    }
    return 1;
}

static int field_bytes(upload *upload, field *field, const char *bytes, apr_size_t size)
{
    if (size > FIELD_BYTES - field->length) {
        upload->error = sf_error_bad_request(
            upload->pool, "Path and Visibility must not be longer than 255 characters");
        return 0;
    }
    memcpy(field->bytes + field->length, bytes, size);
    field->length += size;
    return 1;
}

static int content_bytes(upload *upload, const char *bytes, apr_size_t size)
{
    apr_pool_t *pool = upload->pool;
    apr_status_t rv;

    if (upload->kind->is_text && !sf_utf8_feed(&upload->text, bytes, size)) {
        upload->error = sf_error_bad_request(upload->pool, "Content must be UTF-8 without NUL");
        return 0;
    }
    rv = sf_spool_write(upload->content, bytes, size);
    if (rv == APR_ENOSPC && upload->content->size + (apr_off_t)size > upload->limit) {
        upload->error = sf_error_make(pool, HTTP_REQUEST_ENTITY_TOO_LARGE,
                                      "Content must not be larger than %" APR_OFF_T_FMT " bytes",
                                      upload->limit);
    }
    else if (rv != APR_SUCCESS) {
        upload->error = no_spool(upload, rv);
    }
    return rv == APR_SUCCESS;
}

static int bytes(void *data, const char *bytes, size_t size)
{
    upload *upload = data;

    switch (upload->part) {
    case PATH:
        return field_bytes(upload, &upload->path, bytes, size);
    case VISIBILITY:
        return field_bytes(upload, &upload->visibility, bytes, size);
    case CONTENT:
        return content_bytes(upload, bytes, size);
    default:
        return 1;
    }
}

static int end(void *data)
{
    upload *upload = data;

    if (upload->part == CONTENT && upload->kind->is_text && !sf_utf8_is_whole(&upload->text)) {
        upload->error = sf_error_bad_request(upload->pool, "Content must be UTF-8 without NUL");
        return 0;
    }
    return 1;
}

static const sf_multipart_sink sink = { begin, bytes, end };


/* The body --------------------------------------------------------------------------------------- */

static const sf_error *feed(void *data, const char *bytes, apr_size_t size)
{
    upload *upload = data;

    if (sf_multipart_feed(&upload->body, bytes, size)) {
        return NULL;
    }
    return upload->body.error ? sf_error_bad_request(upload->pool, "%s", upload->body.error)
                              : upload->error;
}

static const sf_error *read_body(upload *upload)
{
    static const char type[] = "multipart/form-data";
    request_rec *r = upload->request->r;
    const char *content_type = apr_table_get(r->headers_in, "Content-Type");
    char boundary[SF_MULTIPART_BOUNDARY_MAX + 1];
    const sf_error *error;
    const char *wrong;

    if (!content_type || ap_cstr_casecmpn(content_type, type, sizeof(type) - 1) != 0
        || !strchr("; \t", content_type[sizeof(type) - 1])) {
        return sf_error_make(r->pool, HTTP_UNSUPPORTED_MEDIA_TYPE, "The content type must be %s",
                             type);
    }
    wrong = sf_multipart_boundary(content_type, boundary);
    if (wrong) {
        return sf_error_bad_request(upload->pool, "%s", wrong);
    }
    sf_multipart_begin(&upload->body, boundary, &sink, upload);
    error = sf_body_stream(r, upload->limit + OVERHEAD, feed, upload);
    if (!error && !sf_multipart_is_whole(&upload->body)) {
        error = sf_error_bad_request(upload->pool, "The body ends before its last delimiter");
    }
    return error;
}


/* Its parameters --------------------------------------------------------------------------------- */

static int has_control(const char *text)
{
    while (*text && !apr_iscntrl(*text)) {
        text++;
    }
    return *text != '\0';
}

/* The slash that a path begins with may be left out. What else may not be in it is what the toolkit
 * refuses before it uploads. */
static const sf_error *check_path(const upload *upload, const char **value)
{
    const char *path = upload->path.bytes;
    int length;

    if (!*path) {
        return sf_error_bad_request(upload->pool,
                                    "Missing required parameter Path in the post body");
    }
    if (strlen(path) != upload->path.length || sf_utf8_length(path) < 0) {
        return sf_error_bad_request(upload->pool, "Path is not valid UTF-8");
    }
    if (*path != '/') {
        path = apr_pstrcat(upload->pool, "/", path, NULL);
    }
    length = sf_utf8_length(path);
    if (length > 255) {
        return sf_error_bad_request(upload->pool, "Path must not be longer than 255 characters");
    }
    if (strpbrk(path, "#;,?:@+&$()'\" \\") || has_control(path)) {
        return sf_error_bad_request(
            upload->pool, "Path must not contain spaces or any of # ; , ? : @ + & $ ( ) ' \" \\");
    }
    *value = path;
    return NULL;
}

static const sf_error *check_visibility(const upload *upload, const char **value)
{
    static const char *const visibilities[] = { "public", "protected", "private" };
    size_t i;

    if (upload->visibility.length == 0) {
        return sf_error_bad_request(upload->pool,
                                    "Missing required parameter Visibility in the post body");
    }
    for (i = 0; i < sizeof(visibilities) / sizeof(*visibilities); i++) {
        if (ap_cstr_casecmp(upload->visibility.bytes, visibilities[i]) == 0
            && strlen(visibilities[i]) == upload->visibility.length) {
            *value = visibilities[i];
            return NULL;
        }
    }
    return sf_error_bad_request(upload->pool, "Visibility must be public, protected or private");
}


/* Into the database ------------------------------------------------------------------------------ */

typedef struct {
    upload *upload;
    const char *path;
    const char *visibility;
} version;

static const sf_error *add_chunks(sf_transaction *transaction, upload *upload)
{
    apr_pool_t *pool = upload->pool;
    const char *service
        = sf_rows_value(upload->rows, 0, sf_resource_column(upload->request->resource, "ZS"));
    const sf_error *error = NULL;
    apr_pool_t *scratch;
    int i;

    apr_pool_create(&scratch, pool);
    for (i = 1; i < sf_spool_chunks(upload->content) && !error; i++) {
        sf_rows *rows;
        const char *chunk = sf_spool_chunk(upload->content, i, scratch);
        const char *values[] = { service, upload->content->sha256, apr_itoa(scratch, i), chunk };

        error = chunk ? sf_db_step(transaction, SF_STATEMENT_CONTENT_CHUNK_ADD, values, &rows)
                      : no_spool(upload, APR_EGENERAL);
        apr_pool_clear(scratch);
    }
    apr_pool_destroy(scratch);
    return error;
}

static const sf_error *store(sf_transaction *transaction, void *data)
{
    const version *version = data;
    upload *upload = version->upload;
    apr_pool_t *pool = upload->pool;
    const char *values[] = { version->path,
                             version->visibility,
                             upload->content_type,
                             upload->content->sha256,
                             apr_off_t_toa(pool, upload->content->size),
                             sf_spool_chunk(upload->content, 0, pool) };
    const sf_error *error;
    const char *fresh;

    if (!values[5]) {
        return no_spool(upload, APR_EGENERAL);
    }
    error = sf_operation_step(upload->request, transaction,
                              upload->request->resource->create.statement, 6, values, NULL,
                              &upload->rows);
    if (error) {
        return error;
    }
    fresh = sf_rows_value(upload->rows, 0, sf_resource_columns(upload->request->resource));
    return fresh && *fresh == 't' ? add_chunks(transaction, upload) : NULL;
}

static const sf_error *store_once(version *version)
{
    upload *upload = version->upload;
    const char *contents[]
        = { version->path, version->visibility, upload->content_type, upload->content->sha256 };

    return sf_idempotency_create(upload->request, 4, contents, store, version, &upload->rows);
}

static const sf_error *check_parts(upload *upload, version *version)
{
    const sf_error *error = check_path(upload, &version->path);

    error = error ? error : check_visibility(upload, &version->visibility);
    if (!error && !upload->content_given) {
        error = sf_error_bad_request(upload->pool,
                                     "Missing required parameter Content in the post body");
    }
    return error;
}

static const sf_error *make_version(upload *upload)
{
    version version = { upload, NULL, NULL };
    const sf_error *error = check_parts(upload, &version);
    apr_status_t rv;

    if (error) {
        return error;
    }
    rv = sf_spool_finish(upload->content);
    return rv == APR_SUCCESS ? store_once(&version) : no_spool(upload, rv);
}

const sf_error *sf_upload(sf_request *request)
{
    const sf_upload_kind *kind = request->resource->upload;
    upload *upload = apr_pcalloc(request->r->pool, sizeof(*upload));
    const sf_error *error = sf_operation_run(request, kind->prepare, 0, NULL, NULL, &upload->rows);

    if (error) {
        request->r->connection->keepalive = AP_CONN_CLOSE; /* the body is not waited for */
        return error;
    }
    upload->request = request;
    upload->pool = request->r->pool;
    upload->kind = kind;
    upload->limit = kind->limit();
    upload->content = sf_spool_make(request->r->pool, upload->limit);
    error = read_body(upload);
    error = error ? error : make_version(upload);
    if (!error) {
        sf_response_record(request, HTTP_CREATED, upload->rows);
    }
    return error;
}
