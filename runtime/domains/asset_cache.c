#include "runtime/domains/asset_cache.h"

#include "core/config.h"
#include "core/log.h"
#include "core/storage/file_cache.h"

#include <apr_atomic.h>
#include <apr_encode.h>
#include <http_config.h>
#include <http_log.h>
#include <string.h>
#include <unixd.h>

APLOG_USE_MODULE(serverless_functions);

#define WAIT apr_time_from_sec(1)
#define FIRST_PAUSE apr_time_from_msec(1)
#define LONGEST_PAUSE apr_time_from_msec(16)

/* After a failure, the child writes no file for this time. */
#define FAILURE_PAUSE apr_time_from_sec(5)

/* The time of this child's last failure to write, 0 after a success. */
static volatile apr_uint64_t failed_at;

void sf_asset_cache_make(const server_rec *s)
{
    const sf_file_cache *cache = sf_config_asset_cache();
    const apr_status_t rv
        = cache ? sf_file_cache_make(cache, ap_unixd_config.user_id) : APR_SUCCESS;

    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                     "SF0041: cannot make the folder of ServerlessAssetCache, %s", cache->folder);
    }
}

static int is_paused(void)
{
    const apr_time_t at = (apr_time_t)apr_atomic_read64(&failed_at);

    return at && apr_time_now() < at + FAILURE_PAUSE;
}

/* Records a failure to write. Logs the first one after a success. */
static void fail(const sf_caller *caller, apr_status_t rv)
{
    char reason[120];

    if (apr_atomic_xchg64(&failed_at, (apr_uint64_t)apr_time_now()) == 0) {
        sf_log(caller, APLOG_ERR, "SF0041",
               "no file for an Asset, which comes from the database each time: %s",
               apr_strerror(rv, reason, sizeof(reason)));
    }
}

/* Reads a chunk and writes it to the file. A chunk of a wrong length is as good as none. */
static const sf_error *copy_chunk(const sf_caller *caller, const sf_stored_content *content,
                                  int number, sf_file_writer *writer, apr_status_t *rv)
{
    const apr_size_t wanted = sf_chunk_length(content, number);
    apr_size_t length;
    const char *hex;
    void *bytes;

    SF_TRY(sf_chunk_fetch(caller, content, number, &hex));
    bytes = apr_palloc(caller->pool, strlen(hex) / 2 + 1);
    apr_decode_base16_binary(bytes, hex, APR_ENCODE_STRING, APR_ENCODE_NONE, &length);
    if (length != wanted) {
        return sf_error_of_status(caller->pool, HTTP_NOT_FOUND);
    }
    *rv = sf_file_cache_write(writer, bytes, length);
    return NULL;
}

/* Copies all chunks to the file. Returns an error of reading, or NULL with that of writing in
 * `rv`. */
static const sf_error *copy_content(const sf_caller *caller, const sf_stored_content *content,
                                    sf_file_writer *writer, apr_status_t *rv)
{
    const int count = sf_chunk_count(content);
    int number;

    *rv = APR_SUCCESS;
    for (number = 0; number < count && *rv == APR_SUCCESS; number++) {
        sf_caller each = *caller;
        const sf_error *error;

        apr_pool_create(&each.pool, caller->pool);
        error = copy_chunk(&each, content, number, writer, rv);
        if (error) {
            error = sf_error_of_status(caller->pool, error->status);
        }
        apr_pool_destroy(each.pool);
        SF_TRY(error);
    }
    return NULL;
}

/* Writes the file of the content. Returns an error of the content, or NULL with that of the cache in
 * `rv`. */
static const sf_error *write_file(const sf_caller *caller, const sf_stored_content *content,
                                  apr_status_t *rv)
{
    const sf_error *error = NULL;
    sf_file_writer *writer;
    apr_pool_t *scratch;

    apr_pool_create(&scratch, caller->pool);
    *rv = sf_file_cache_begin(sf_config_asset_cache(), content, scratch, &writer);
    if (*rv == APR_SUCCESS) {
        error = copy_content(caller, content, writer, rv);
        if (!error && *rv == APR_SUCCESS) {
            *rv = sf_file_cache_commit(writer);
        }
    }
    apr_pool_destroy(scratch); /* removes a file that was not committed */
    return error;
}

/* Turns the result of writing the file into the next step: an error, or NULL with `*again` set where
 * the file is there or another thread writes it. */
static const sf_error *after_writing(const sf_caller *caller, apr_status_t rv, int *again)
{
    *again = rv == APR_SUCCESS || rv == APR_EBUSY;
    if (rv == SF_FILE_CACHE_MISMATCH) {
        sf_log(caller, APLOG_ERR, "SF0042", "content is damaged: its bytes do not have its hash");
        return sf_error_of_status(caller->pool, HTTP_INTERNAL_SERVER_ERROR);
    }
    if (rv == APR_SUCCESS) {
        apr_atomic_set64(&failed_at, 0);
    }
    else if (rv != APR_EBUSY) {
        fail(caller, rv);
    }
    return NULL;
}

/* Writes the file and opens it, or waits until the thread that writes it has done. */
static const sf_error *fill_and_open(const sf_caller *caller, const sf_stored_content *content,
                                     apr_int32_t flags, apr_file_t **file)
{
    const apr_time_t end = apr_time_now() + WAIT;
    apr_interval_time_t pause = FIRST_PAUSE;
    apr_status_t rv;
    int again;

    for (;;) {
        SF_TRY(write_file(caller, content, &rv));
        SF_TRY(after_writing(caller, rv, &again));
        if (!again
            || sf_file_cache_open(sf_config_asset_cache(), content, flags, caller->pool, file)
                   == APR_SUCCESS) {
            return NULL;
        }
        *file = NULL;
        if (rv == APR_SUCCESS || apr_time_now() > end) {
            return NULL;
        }
        apr_sleep(pause);
        pause = pause < LONGEST_PAUSE ? pause * 2 : LONGEST_PAUSE;
    }
}

const sf_error *sf_asset_cache_open(const sf_caller *caller, const sf_stored_content *content,
                                    apr_int32_t flags, int fill, apr_file_t **file)
{
    const sf_file_cache *cache = sf_config_asset_cache();

    *file = NULL;
    if (!cache || !sf_file_cache_takes(cache, content->size)) {
        return NULL;
    }
    if (sf_file_cache_open(cache, content, flags, caller->pool, file) == APR_SUCCESS) {
        return NULL;
    }
    *file = NULL;
    if (!fill || is_paused()) {
        return NULL;
    }
    return fill_and_open(caller, content, flags, file);
}
