#include "runtime/domains/build_stream.h"

#include "core/crypto/sha256.h"
#include "core/db/db.h"
#include "core/json.h"
#include "core/log.h"
#include "core/storage/chunk.h"

#include <apr_encode.h>
#include <apr_strings.h>
#include <http_log.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

/* How long the runner may take until it reads on, in milliseconds. */
#define PATIENCE 5000

#define NAME_BYTES (sizeof("handlers/") + SF_SID_LENGTH + sizeof(".js"))

/* The columns of build_sources. */
enum { SOURCE_PATH, SOURCE_VERSION, SOURCE_KIND, SOURCE_VISIBILITY, SOURCE_SHA256, SOURCE_SIZE };

/* The columns of bundle_of_build. */
enum { BUNDLE_SHA256, BUNDLE_SIZE, BUNDLE_STORED_SHA256 };

typedef struct {
    const sf_domain_request *request;
    sf_caller caller;
    sf_runner_link *runner;
    uint32_t lease;
    json_object *functions; /* of the manifest */
    json_object *assets;
} build_stream;

/* A file of the Build. */
typedef struct {
    char name[NAME_BYTES];
    const char *sha256;
    apr_off_t size;
    const char *bundle; /* for the bundle: the hash of its archive before the compression */
} build_file;

/* Sends a message as soon as there is room for it. */
static int send_message(const build_stream *stream, sf_control_type type, const void *payload,
                        apr_size_t length)
{
    if (sf_runner_link_wait(stream->runner, PATIENCE)
        && sf_runner_link_send(stream->runner, type, stream->lease, payload, length)) {
        return OK;
    }
    sf_log(&stream->caller, APLOG_ERR, "SF0084", "the runner does not take the files of a Build");
    return HTTP_SERVICE_UNAVAILABLE;
}

static int send_bytes(const build_stream *stream, const char *bytes, apr_size_t length)
{
    int status = OK;

    while (length > 0 && status == OK) {
        const apr_size_t size = length < SF_CONTROL_PAYLOAD ? length : SF_CONTROL_PAYLOAD;

        status = send_message(stream, SF_CONTROL_DATA, bytes, size);
        bytes += size;
        length -= size;
    }
    return status;
}

static int send_file_head(const build_stream *stream, const build_file *file)
{
    const char *text = apr_psprintf(
        stream->caller.pool, "{\"name\":\"%s\",\"sha256\":\"%s\",\"size\":%" APR_OFF_T_FMT "}",
        file->name, file->sha256, file->size);

    return send_message(stream, SF_CONTROL_FILE, text, strlen(text));
}


/* Contents --------------------------------------------------------------------------------------- */

/* Sends a chunk, in memory that is freed afterwards. */
static int send_chunk(const build_stream *stream, const sf_stored_content *content, int number)
{
    sf_caller caller = stream->caller;
    const sf_error *error;
    apr_size_t length;
    const char *hex;
    char *bytes;
    int status;

    apr_pool_create(&caller.pool, stream->caller.pool);
    error = sf_chunk_fetch(&caller, content, number, &hex);
    if (error) {
        status = error->status == HTTP_NOT_FOUND ? SF_DOMAIN_GONE : HTTP_SERVICE_UNAVAILABLE;
    }
    else {
        bytes = apr_palloc(caller.pool, strlen(hex) / 2 + 1);
        apr_decode_base16_binary((unsigned char *)bytes, hex, APR_ENCODE_STRING, APR_ENCODE_NONE,
                                 &length);
        status = send_bytes(stream, bytes, length);
    }
    apr_pool_destroy(caller.pool);
    return status;
}

static int send_content(const build_stream *stream, const build_file *file)
{
    const sf_stored_content content = { .is_bundle = file->bundle != NULL,
                                        .service = stream->request->route.service,
                                        .sha256 = file->bundle ? file->bundle : file->sha256,
                                        .size = file->size };
    int status = send_file_head(stream, file);
    int number;

    for (number = 0; number < sf_chunk_count(&content) && status == OK; number++) {
        status = send_chunk(stream, &content, number);
    }
    return status;
}


/* Files ------------------------------------------------------------------------------------------ */

static void add_text(json_object *object, const char *name, const char *text)
{
    sf_json_add(object, name, json_object_new_string(text));
}

/* Adds a file to the manifest. A Function's path loses its slash. */
static void add_to_manifest(const build_stream *stream, sf_rows *rows, int row, const char *name)
{
    const int is_function = strcmp(sf_rows_value(rows, row, SOURCE_KIND), "function") == 0;
    json_object *entry = json_object_new_object();

    add_text(entry, "file", name);
    add_text(entry, "visibility", sf_rows_value(rows, row, SOURCE_VISIBILITY));
    json_object_object_add(is_function ? stream->functions : stream->assets,
                           sf_rows_value(rows, row, SOURCE_PATH) + is_function, entry);
}

/* Sends the file of a row. */
static int send_row(const build_stream *stream, sf_rows *rows, int row)
{
    const int is_function = strcmp(sf_rows_value(rows, row, SOURCE_KIND), "function") == 0;
    char version[SF_SID_LENGTH + 1];
    build_file file = { .bundle = NULL };

    if (!sf_rows_value(rows, row, SOURCE_SHA256)) {
        return SF_DOMAIN_GONE;
    }
    sf_sid_write(version, "ZN", sf_rows_value(rows, row, SOURCE_VERSION));
    apr_snprintf(file.name, sizeof(file.name), is_function ? "handlers/%s.js" : "files/%s",
                 version);
    file.sha256 = sf_rows_value(rows, row, SOURCE_SHA256);
    file.size = apr_atoi64(sf_rows_value(rows, row, SOURCE_SIZE));
    add_to_manifest(stream, rows, row, file.name);
    return send_content(stream, &file);
}

/* Sends the manifest, which is the last file. */
static int send_manifest(const build_stream *stream, json_object *manifest)
{
    char sha256[SF_SHA256_HEX + 1];
    build_file file = { .name = "manifest.json", .sha256 = sha256 };
    sf_sha256 hash;
    apr_size_t length;
    const char *text = sf_json_text(manifest, &length);
    int status;

    sf_sha256_begin(&hash, stream->caller.pool);
    sf_sha256_add(&hash, text, length);
    if (!sf_sha256_end(&hash, sha256)) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    file.size = (apr_off_t)length;
    status = send_file_head(stream, &file);
    return status == OK ? send_bytes(stream, text, length) : status;
}

/* Sends the Build's bundle, if it has one, and names it in the manifest. */
static int send_bundle(const build_stream *stream, json_object *manifest)
{
    const sf_route *route = &stream->request->route;
    const char *values[] = { route->service, route->build };
    build_file file = { .name = "bundle.tar.zst" };
    sf_rows *rows;

    if (sf_db_run(&stream->caller, SF_STATEMENT_BUNDLE_OF_BUILD, values, &rows)) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    if (sf_rows_count(rows) == 0) {
        sf_json_add(manifest, "bundle", NULL);
        return OK;
    }
    file.bundle = sf_rows_value(rows, 0, BUNDLE_SHA256);
    file.size = apr_atoi64(sf_rows_value(rows, 0, BUNDLE_SIZE));
    file.sha256 = sf_rows_value(rows, 0, BUNDLE_STORED_SHA256);
    add_text(manifest, "bundle", file.bundle);
    return send_content(stream, &file);
}

/* Sends all files. */
static int send_files(build_stream *stream)
{
    const sf_route *route = &stream->request->route;
    const char *values[] = { route->service, route->build };
    json_object *manifest = sf_json_object(stream->caller.pool);
    sf_rows *rows;
    int status = OK;
    int row;

    if (sf_db_run(&stream->caller, SF_STATEMENT_BUILD_SOURCES, values, &rows)) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    if (sf_rows_count(rows) == 0) {
        return SF_DOMAIN_GONE;
    }
    stream->functions = json_object_new_object();
    stream->assets = json_object_new_object();
    sf_json_add(manifest, "functions", stream->functions);
    sf_json_add(manifest, "assets", stream->assets);
    for (row = 0; row < sf_rows_count(rows) && status == OK; row++) {
        status = send_row(stream, rows, row);
    }
    status = status == OK ? send_bundle(stream, manifest) : status;
    return status == OK ? send_manifest(stream, manifest) : status;
}

int sf_build_stream_send(const sf_domain_request *request, sf_runner_link *runner, uint32_t lease)
{
    build_stream stream = {
        .request = request, .caller = sf_caller_of(request->r), .runner = runner, .lease = lease
    };
    const int status = send_files(&stream);
    const char *reason = status == SF_DOMAIN_GONE ? "content was deleted" : "no answer";

    if (status == OK) {
        return send_message(&stream, SF_CONTROL_STORE, "", 0);
    }
    sf_runner_link_say(runner, SF_CONTROL_ABANDON, lease, reason);
    return status;
}
