#include "runtime/domains/asset.h"

#include "core/config.h"
#include "core/metrics.h"
#include "core/storage/chunk_bucket.h"
#include "runtime/domains/asset_cache.h"

#include <apr_buckets.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <string.h>
#include <util_filter.h>

#define UNKNOWN_TYPE "application/octet-stream"
#define CACHE_CONTROL_FILTER "SF_ASSET_CACHE_CONTROL"

#define PROTECTED_CACHE_CONTROL "private, no-store"


/* Content-Type -------------------------------------------------------------------------------- */

/* Returns mod_mime's function that finds a type, or NULL where mod_mime is not loaded. The hook as a
 * whole would look for a file as well (mod_negotiation, mod_mime_magic). */
static ap_HOOK_type_checker_t *mime_type_checker(void)
{
    const apr_array_header_t *hooks = ap_hook_get_type_checker();
    int i;

    for (i = 0; hooks && i < hooks->nelts; i++) {
        const ap_LINK_type_checker_t *hook = &APR_ARRAY_IDX(hooks, i, ap_LINK_type_checker_t);

        if (strcmp(hook->szName, "mod_mime.c") == 0) {
            return hook->pFunc;
        }
    }
    return NULL;
}

/* Lets mod_mime set type, encoding and language of the answer by the extensions of the Asset's path
 * (TypesConfig, AddType, AddEncoding). A handler that it may set (AddHandler) is not for Assets. */
static void set_type_by_path(request_rec *r, const char *path)
{
    ap_HOOK_type_checker_t *check_type = mime_type_checker();
    const char *handler = r->handler;
    char *filename = r->filename;

    if (check_type) {
        r->filename = apr_pstrdup(r->pool, path);
        check_type(r);
        r->filename = filename;
        r->handler = handler;
    }
    if (!r->content_type) {
        ap_set_content_type(r, UNKNOWN_TYPE);
    }
}

/* The type of the upload. Where that says nothing: the administrator's (ForceType), which httpd has set
 * before; else mod_mime's. */
static void set_type(request_rec *r, const sf_build_file *file)
{
    const char *type = file->content_type;

    if (type && *type && ap_cstr_casecmp(type, UNKNOWN_TYPE) != 0) {
        ap_set_content_type(r, type);
    }
    else if (!r->content_type) {
        set_type_by_path(r, file->path);
    }
}


/* Headers ------------------------------------------------------------------------------------- */

/* Sets Cache-Control unless another module has: this filter follows mod_expires' and precedes
 * mod_headers'. */
static apr_status_t set_cache_control(ap_filter_t *f, apr_bucket_brigade *brigade)
{
    request_rec *r = f->r;

    if (!apr_table_get(r->headers_out, "Cache-Control")) {
        apr_table_setn(r->headers_out, "Cache-Control",
                       apr_psprintf(r->pool, "public, max-age=%" APR_TIME_T_FMT ", must-revalidate",
                                    apr_time_sec(sf_config_asset_max_age(r))));
    }
    ap_remove_output_filter(f);
    return ap_pass_brigade(f->next, brigade);
}

void sf_asset_register(void)
{
    ap_register_output_filter(CACHE_CONTROL_FILTER, set_cache_control, NULL,
                              AP_FTYPE_CONTENT_SET - 1);
}

/* A public Asset may be used by pages of any site, and kept by any cache. A protected one is for its
 * client alone. */
static void set_headers_of_visibility(request_rec *r, sf_visibility visibility)
{
    if (visibility == SF_PUBLIC) {
        apr_table_setn(r->headers_out, "Access-Control-Allow-Origin", "*");
        ap_add_output_filter(CACHE_CONTROL_FILTER, NULL, r, r->connection);
    }
    else {
        apr_table_setn(r->headers_out, "Cache-Control", PROTECTED_CACHE_CONTROL);
    }
}

static void set_headers(request_rec *r, const sf_build_file *file)
{
    set_type(r, file);
    ap_set_content_length(r, file->size);
    ap_set_accept_ranges(r);
    set_headers_of_visibility(r, file->visibility);
}

/* Sets the headers that conditions are compared with. A Version never changes, so the tag is
 * strong. */
static void set_validators(request_rec *r, const sf_build_file *file)
{
    apr_table_setn(r->headers_out, "ETag", apr_pstrcat(r->pool, "\"", file->sha256, "\"", NULL));
    ap_update_mtime(r, file->date);
    ap_set_last_modified(r);
}

static void unset_validators(request_rec *r)
{
    apr_table_unset(r->headers_out, "ETag");
    apr_table_unset(r->headers_out, "Last-Modified");
}


/* Body ---------------------------------------------------------------------------------------- */

/* Appends the file as httpd sends its own files: EnableMMAP and EnableSendfile apply. */
static void append_file(apr_bucket_brigade *brigade, request_rec *r, apr_file_t *file,
                        apr_off_t size)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    apr_bucket *bucket = apr_brigade_insert_file(brigade, file, 0, size, r->pool);

    if (core->enable_mmap == ENABLE_MMAP_OFF) {
        (void)apr_bucket_file_enable_mmap(bucket, 0);
    }
}

/* Appends the chunks, and reads the first one: an error can be answered only before the head is
 * sent. */
static int append_chunks(apr_bucket_brigade *brigade, request_rec *r,
                         const sf_stored_content *content)
{
    const sf_caller caller = sf_caller_of(r);
    const char *bytes;
    apr_size_t length;

    sf_chunk_buckets_append(brigade, &caller, content);
    if (r->header_only) {
        return OK;
    }
    switch (apr_bucket_read(APR_BRIGADE_FIRST(brigade), &bytes, &length, APR_BLOCK_READ)) {
    case APR_SUCCESS:
        return OK;
    case APR_ENOENT:
        return SF_DOMAIN_GONE;
    default:
        return HTTP_SERVICE_UNAVAILABLE;
    }
}

/* Counts where the content comes from, and notes it for the access log. */
static void count_source(const request_rec *r, int is_cached)
{
    sf_metrics_add(is_cached ? SF_METRIC_ASSETS_CACHED : SF_METRIC_ASSETS_READ);
    apr_table_setn(r->notes, SF_ASSET_SOURCE_NOTE, is_cached ? "cache" : "database");
}

/* Appends the content to the brigade. Returns OK or the status of an error. */
static int append_content(apr_bucket_brigade *brigade, request_rec *r,
                          const sf_stored_content *content)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const sf_caller caller = sf_caller_of(r);
    const sf_error *error;
    apr_file_t *file;

    if (content->size == 0) {
        return OK;
    }
    error = sf_asset_cache_open(&caller, content, AP_SENDFILE_ENABLED(core->enable_sendfile),
                                !r->header_only, &file);
    if (error) {
        return error->status == HTTP_NOT_FOUND ? SF_DOMAIN_GONE : error->status;
    }
    count_source(r, file != NULL);
    if (!file) {
        return append_chunks(brigade, r, content);
    }
    append_file(brigade, r, file, content->size);
    return OK;
}

/* Compares the conditions of a GET, and makes the brigade of the answer. Returns OK, with the
 * answer's status in r->status; or the status of an error. */
static int make_response(sf_domain_request *request, apr_bucket_brigade *brigade)
{
    request_rec *r = request->r;
    const sf_stored_content content = { .service = request->route.service,
                                        .sha256 = request->file->sha256,
                                        .size = request->file->size };
    const int condition = r->method_number == M_GET ? ap_meets_conditions(r) : OK;

    if (condition == HTTP_NOT_MODIFIED) {
        r->status = HTTP_NOT_MODIFIED;
        return OK;
    }
    return condition == OK ? append_content(brigade, r, &content) : condition;
}

int sf_asset_send(sf_domain_request *request)
{
    request_rec *r = request->r;
    apr_bucket_brigade *brigade = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    int status = ap_discard_request_body(r);

    if (status != OK) {
        return status;
    }
    if (r->method_number != M_GET) { /* a webhook's POST, answered with the whole content */
        apr_table_unset(r->headers_in, "Range");
    }
    set_validators(r, request->file);
    status = make_response(request, brigade);
    if (status != OK) {
        unset_validators(r);
        apr_brigade_destroy(brigade);
        return status;
    }
    set_headers(r, request->file);
    APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_eos_create(r->connection->bucket_alloc));
    ap_pass_brigade(r->output_filters, brigade);
    return OK;
}
