#include "worker/dependencies.h"

#include "core/config.h"
#include "core/crypto/sha256.h"
#include "core/db/db.h"
#include "core/log.h"
#include "core/storage/chunk.h"
#include "runtime/protocol/runner_link.h"
#include "worker/dependency_request.h"

#include <apr_encode.h>
#include <apr_strings.h>
#include <errno.h>
#include <http_log.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

APLOG_USE_MODULE(serverless_functions);

/* The number of the only work that is asked for on a connection. */
#define INSTALL 1

/* The files that the runner sends, and the most bytes of the first one. */
#define LOCK_FILE "package-lock.json"
#define BUNDLE "bundle.tar.zst"
#define LOCK_FILE_LIMIT (4 * 1024 * 1024)

/* What an archive may have beside the bytes of the packages. */
#define ARCHIVE_OVERHEAD (64 * 1024 * 1024)

/* A descriptor that is none. */
#define CLOSED (-1)

/* The most messages of one step: other work of the thread is to go on, too. */
#define STEP_MESSAGES 256

struct sf_dependencies {
    sf_claimed_build build;
    char request[SF_SHA256_HEX + 1]; /* the hash of Runtime and Dependencies */
    sf_runner_link link;
    int is_connected;
    sf_dependencies_result result; /* PENDING until it is known */
    const char *reason;
    apr_time_t deadline;
    char *lock_file;           /* its text, or NULL */
    int bundle;                /* a descriptor, or CLOSED */
    apr_off_t bundle_size;     /* in bytes */
    const char *stored_sha256; /* of the bundle */
    const char *sha256;        /* of the bundle before its compression */
};

static sf_dependencies_result finish(sf_dependencies *work, sf_dependencies_result result)
{
    work->result = result;
    return result;
}

/* Logs why the runner cannot be used. The Build waits for another try. */
static sf_dependencies_result stop_because(sf_dependencies *work, sf_dependencies_result result,
                                           const char *cause)
{
    sf_log_limited(&work->build.caller, APLOG_ERR, "SF0097",
                   "the runner cannot resolve Dependencies: %s", cause);
    return finish(work, result);
}

static sf_dependencies_result broken(sf_dependencies *work, const char *cause)
{
    return stop_because(work, SF_DEPENDENCIES_BROKEN, cause);
}


/* The request --------------------------------------------------------------------------------- */

/* Takes the bundle of an earlier Build with the same request. Returns PENDING where there is none. */
static sf_dependencies_result reuse_bundle(sf_dependencies *work)
{
    const sf_claimed_build *build = &work->build;
    const char *values[] = { build->service, build->id, build->lease, work->request };
    sf_rows *rows;

    if (sf_db_run(&build->caller, SF_STATEMENT_BUNDLE_REUSE, values, &rows)) {
        return finish(work, SF_DEPENDENCIES_POSTPONED);
    }
    return *sf_rows_value(rows, 0, 0) == 't' ? finish(work, SF_DEPENDENCIES_RESOLVED)
                                             : SF_DEPENDENCIES_PENDING;
}

/* Connects to the runner and asks it to resolve the versions. */
static sf_dependencies_result ask_runner(sf_dependencies *work, json_object *versions)
{
    apr_pool_t *pool = work->build.caller.pool;
    const int seconds = (int)apr_time_sec(sf_config_install_timeout());
    const apr_status_t rv = sf_runner_link_open(&work->link, sf_config_runner());

    if (rv != APR_SUCCESS) {
        return stop_because(work, SF_DEPENDENCIES_POSTPONED,
                            apr_psprintf(pool, "%s: %pm", sf_config_runner(), &rv));
    }
    work->is_connected = 1;
    work->deadline = apr_time_now() + sf_config_install_timeout() + apr_time_from_sec(5);
    sf_runner_link_say(&work->link, SF_CONTROL_INSTALL, INSTALL,
                       sf_dependency_request(pool, work->build.runtime, versions, seconds, 0));
    return SF_DEPENDENCIES_PENDING;
}

sf_dependencies *sf_dependencies_begin(const sf_claimed_build *build)
{
    sf_dependencies *work = apr_pcalloc(build->caller.pool, sizeof(*work));
    json_object *versions = sf_dependency_versions(build->caller.pool, build->dependencies);

    work->build = *build;
    work->bundle = CLOSED;
    if (json_object_object_length(versions) == 0) {
        finish(work, SF_DEPENDENCIES_RESOLVED);
    }
    else if (!sf_dependency_hash(build->caller.pool, build->runtime, versions, work->request)) {
        broken(work, "OpenSSL cannot hash");
    }
    else if (reuse_bundle(work) == SF_DEPENDENCIES_PENDING) {
        ask_runner(work, versions);
    }
    return work;
}


/* Storing ------------------------------------------------------------------------------------- */

/* Reads `size` bytes of a file from `offset` on. Returns 0 where they are not there. */
static int read_at(int file, char *bytes, apr_size_t size, apr_off_t offset)
{
    while (size > 0) {
        const ssize_t got = pread(file, bytes, size, offset);

        if (got <= 0) {
            return 0;
        }
        bytes += got;
        offset += got;
        size -= (apr_size_t)got;
    }
    return 1;
}

/* Returns the bundle as content that is to be stored. */
static sf_stored_content bundle_content(const sf_dependencies *work)
{
    return (sf_stored_content){ .is_bundle = 1,
                                .service = work->build.service,
                                .sha256 = work->sha256,
                                .size = work->bundle_size };
}

/* Reads a chunk of the bundle into `bytes`. Returns its length, or 0 where the file cannot be read. */
static apr_size_t read_chunk(const sf_dependencies *work, int number, char bytes[SF_CHUNK_BYTES])
{
    const sf_stored_content content = bundle_content(work);
    const apr_size_t length = sf_chunk_length(&content, number);

    return read_at(work->bundle, bytes, length, (apr_off_t)number * SF_CHUNK_BYTES) ? length : 0;
}

/* Sets the hash of the bundle. Returns 0 where it cannot be read. */
static int hash_bundle(sf_dependencies *work)
{
    const sf_stored_content content = bundle_content(work);
    char *bytes = apr_palloc(work->build.caller.pool, SF_CHUNK_BYTES);
    char *hex = apr_palloc(work->build.caller.pool, SF_SHA256_HEX + 1);
    apr_size_t length = 1;
    sf_sha256 hash;
    int i;

    sf_sha256_begin(&hash, work->build.caller.pool);
    for (i = 0; i < sf_chunk_count(&content) && length > 0; i++) {
        length = read_chunk(work, i, bytes);
        sf_sha256_add(&hash, bytes, length);
    }
    work->stored_sha256 = hex;
    return sf_sha256_end(&hash, hex) && length > 0;
}

/* Writes the chunks of a bundle that is new. */
static const sf_error *add_chunks(sf_transaction *transaction, const sf_dependencies *work)
{
    const sf_stored_content content = bundle_content(work);
    char *bytes = apr_palloc(work->build.caller.pool, SF_CHUNK_BYTES);
    const sf_error *error = NULL;
    apr_pool_t *scratch;
    int i;

    apr_pool_create(&scratch, work->build.caller.pool);
    for (i = 0; i < sf_chunk_count(&content) && !error; i++) {
        const apr_size_t length = read_chunk(work, i, bytes);
        const char *values[]
            = { work->build.service, work->sha256, apr_itoa(scratch, i),
                apr_pencode_base64_binary(scratch, (unsigned char *)bytes, (apr_ssize_t)length,
                                          APR_ENCODE_NONE, NULL) };
        sf_rows *rows;

        error = length > 0 ? sf_db_step(transaction, SF_STATEMENT_BUNDLE_CHUNK_ADD, values, &rows)
                           : sf_error_of_status(work->build.caller.pool, HTTP_SERVICE_UNAVAILABLE);
        apr_pool_clear(scratch);
    }
    apr_pool_destroy(scratch);
    return error;
}

/* The steps of the transaction that keeps a bundle: all of it, for this Build, or nothing. */
static const sf_error *keep_bundle(sf_transaction *transaction, void *data)
{
    const sf_dependencies *work = data;
    const sf_claimed_build *build = &work->build;
    const char *size = apr_psprintf(build->caller.pool, "%" APR_OFF_T_FMT, work->bundle_size);
    const char *kept[] = { build->service, work->sha256, size, work->stored_sha256 };
    const char *assigned[]
        = { build->service, build->id, build->lease, work->request, work->sha256, work->lock_file };
    sf_rows *rows;

    SF_TRY(sf_db_step(transaction, SF_STATEMENT_BUNDLE_KEEP, kept, &rows));
    if (*sf_rows_value(rows, 0, 0) == 't') {
        SF_TRY(add_chunks(transaction, work));
    }
    SF_TRY(sf_db_step(transaction, SF_STATEMENT_BUNDLE_ASSIGN, assigned, &rows));
    return sf_rows_count(rows) > 0 ? NULL : sf_error_of_status(build->caller.pool, HTTP_CONFLICT);
}

/* Keeps the bundle. Where the Build was deleted or taken over meanwhile, the transaction leaves nothing, and
 * build_finish finds out why. */
static sf_dependencies_result store_bundle(sf_dependencies *work)
{
    const sf_error *error;

    if (!hash_bundle(work)) {
        return broken(work, "its files cannot be read");
    }
    error = sf_db_transaction(&work->build.caller, keep_bundle, work);
    return finish(work, error && error->status != HTTP_CONFLICT ? SF_DEPENDENCIES_BROKEN
                                                                : SF_DEPENDENCIES_RESOLVED);
}


/* The answer ---------------------------------------------------------------------------------- */

/* Returns a member of a message's JSON as text in the pool, or NULL. */
static const char *member(sf_dependencies *work, const sf_control_message *message,
                          const char *name)
{
    json_object *object = json_tokener_parse(message->payload);
    const char *text = json_object_get_string(json_object_object_get(object, name));

    text = text ? apr_pstrdup(work->build.caller.pool, text) : NULL;
    json_object_put(object);
    return text;
}

/* Reads the lock file. Returns 0 where it is too large or cannot be read. */
static int read_lock_file(sf_dependencies *work, int file, apr_off_t size)
{
    if (size > LOCK_FILE_LIMIT) {
        return 0;
    }
    work->lock_file = apr_pcalloc(work->build.caller.pool, (apr_size_t)size + 1);
    return read_at(file, work->lock_file, (apr_size_t)size, 0);
}

/* Takes a file that the runner passes; the descriptor of the bundle stays open. */
static sf_dependencies_result take_file(sf_dependencies *work, const sf_control_message *message)
{
    const char *name = member(work, message, "name");
    struct stat found;
    int right = name && message->descriptor >= 0 && fstat(message->descriptor, &found) == 0;

    if (right && strcmp(name, LOCK_FILE) == 0) {
        right = read_lock_file(work, message->descriptor, found.st_size);
        close(message->descriptor);
    }
    else if (right && strcmp(name, BUNDLE) == 0 && work->bundle == CLOSED) {
        work->bundle = message->descriptor;
        work->bundle_size = found.st_size;
        right = found.st_size > 0 && found.st_size <= sf_config_bundle_limit() + ARCHIVE_OVERHEAD;
    }
    else {
        right = 0;
        if (message->descriptor >= 0) {
            close(message->descriptor);
        }
    }
    return right ? SF_DEPENDENCIES_PENDING : broken(work, "it sends another file than it should");
}

/* Takes the end of the work: the hash of the archive, or null where nothing had to be installed. */
static sf_dependencies_result complete(sf_dependencies *work, const sf_control_message *message)
{
    work->sha256 = member(work, message, "sha256");
    if (!work->sha256) {
        return finish(work, SF_DEPENDENCIES_RESOLVED);
    }
    if (strlen(work->sha256) != SF_SHA256_HEX
        || strspn(work->sha256, "0123456789abcdef") != SF_SHA256_HEX || work->bundle == CLOSED
        || !work->lock_file) {
        return broken(work, "its files are not whole");
    }
    return store_bundle(work);
}

/* Takes a refusal. The reason "dependencies" is the owner's; "none" means that this runner resolves none, and the
 * Build has none then. */
static sf_dependencies_result take_refusal(sf_dependencies *work, const sf_control_message *message)
{
    const char *reason = member(work, message, "reason");
    const char *detail = member(work, message, "detail");

    if (reason && strcmp(reason, "none") == 0) {
        return finish(work, SF_DEPENDENCIES_RESOLVED);
    }
    if (!reason || strcmp(reason, "dependencies") != 0) {
        return broken(work, detail ? detail : "it refuses");
    }
    work->reason = detail && *detail ? detail : "The Dependencies cannot be resolved";
    return finish(work, SF_DEPENDENCIES_FAILED);
}

static sf_dependencies_result take(sf_dependencies *work, const sf_control_message *message)
{
    switch (message->type) {
    case SF_CONTROL_HELLO:
    case SF_CONTROL_GIVE:
    case SF_CONTROL_LEAVE:
        return SF_DEPENDENCIES_PENDING;
    case SF_CONTROL_FILE:
        return take_file(work, message);
    case SF_CONTROL_INSTALLED:
        return complete(work, message);
    case SF_CONTROL_REFUSED:
        return take_refusal(work, message);
    default:
        return broken(work, "it sends a message that it should not");
    }
}

/* Receives one message and takes it. PENDING with `more` unset: none is there. */
static sf_dependencies_result receive(sf_dependencies *work, unsigned char *packet, int *more)
{
    sf_control_message message;
    const apr_status_t rv = sf_control_receive(work->link.socket, packet, &message);

    *more = rv == 0;
    if (rv == EAGAIN) {
        return SF_DEPENDENCIES_PENDING;
    }
    if (rv != 0) {
        return stop_because(work, SF_DEPENDENCIES_POSTPONED,
                            apr_psprintf(work->build.caller.pool, "its connection: %pm", &rv));
    }
    return take(work, &message);
}

sf_dependencies_result sf_dependencies_step(sf_dependencies *work, const char **reason)
{
    unsigned char packet[SF_CONTROL_PACKET + 1];
    int more = 1;
    int i;

    for (i = 0; i < STEP_MESSAGES && more && work->result == SF_DEPENDENCIES_PENDING; i++) {
        receive(work, packet, &more);
    }
    if (work->result == SF_DEPENDENCIES_PENDING && apr_time_now() > work->deadline) {
        broken(work, "it does not answer in time");
    }
    *reason = work->reason;
    return work->result;
}

void sf_dependencies_end(sf_dependencies *work)
{
    if (work->is_connected) {
        close(work->link.socket);
        work->is_connected = 0;
    }
    if (work->bundle != CLOSED) {
        close(work->bundle);
        work->bundle = CLOSED;
    }
}
