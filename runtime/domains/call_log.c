#include "runtime/domains/call_log.h"

#include "core/config.h"
#include "core/json_writer.h"
#include "core/log.h"
#include "core/request_id.h"
#include "core/storage/log_spool.h"

#include <apr_portable.h>
#include <apr_strings.h>
#include <errno.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <openssl/rand.h>
#include <string.h>
#include <unistd.h>

APLOG_USE_MODULE(serverless_functions);

/* A message has 10,000 characters at most, of up to four bytes. */
#define MESSAGE_BYTES 40000

/* Random bytes at the end of a SID, behind 56 bits of microseconds. */
#define NOISE_BYTES 9

/* The bytes of a message as they are kept, behind the entry's head. */
typedef struct {
    apr_time_t time;
    apr_uint32_t length;
    sf_call_level level;
} entry_head;

/* The entries stand one after another in `buffer`, from `first` to `end`. The buffer has room for twice what is kept:
 * the entries are moved to its beginning when its end is reached. */
struct sf_call_log {
    apr_pool_t *pool;
    sf_call_ids ids;
    unsigned char noise[NOISE_BYTES];
    apr_time_t begun;
    apr_time_t last; /* the time of the last entry */
    char *buffer;
    apr_size_t room;
    apr_size_t first;
    apr_size_t end;
    apr_size_t limit;
    apr_uint64_t dropped; /* entries */
};

static const char *const levels[] = { "INFO", "WARNING", "ERROR" };

/* Of ServerlessLogTo, or -1. */
static int target;


/* Starting up --------------------------------------------------------------------------------- */

static apr_status_t open_target(apr_pool_t *pconf)
{
    const char *to = sf_config_log_target();
    apr_file_t *file = NULL;
    apr_status_t rv = APR_SUCCESS;

    target = -1;
    if (!to) {
        return APR_SUCCESS;
    }
    if (*to == '|') {
        piped_log *log = ap_open_piped_log(pconf, to + 1);

        file = log ? ap_piped_log_write_fd(log) : NULL;
    }
    else {
        rv = apr_file_open(&file, ap_server_root_relative(pconf, to),
                           APR_FOPEN_WRITE | APR_FOPEN_APPEND | APR_FOPEN_CREATE
                               | APR_FOPEN_LARGEFILE,
                           APR_FPROT_UREAD | APR_FPROT_UWRITE, pconf);
    }
    if (file) {
        apr_os_file_get(&target, file);
    }
    return file ? APR_SUCCESS : rv ? rv : APR_EGENERAL;
}

apr_status_t sf_call_log_post_config(apr_pool_t *pconf, server_rec *s)
{
    const apr_status_t rv = open_target(pconf);

    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "ServerlessLogTo: cannot open %s",
                     sf_config_log_target());
    }
    return rv;
}

void sf_call_ids_of(sf_call_ids *ids, const sf_domain_request *request)
{
    const sf_route *route = &request->route;

    ids->database = sf_config_database(request->r->server);
    apr_cpystrn(ids->account, route->account, sizeof(ids->account));
    apr_cpystrn(ids->service, route->service, sizeof(ids->service));
    apr_cpystrn(ids->environment, route->environment, sizeof(ids->environment));
    apr_cpystrn(ids->build, route->build, sizeof(ids->build));
    apr_cpystrn(ids->deployment, route->deployment, sizeof(ids->deployment));
    apr_cpystrn(ids->function, request->file->artifact, sizeof(ids->function));
    apr_cpystrn(ids->request, sf_request_id(request->r), sizeof(ids->request));
}


/* Adding -------------------------------------------------------------------------------------- */

sf_call_log *sf_call_log_begin(const sf_call_ids *ids)
{
    sf_call_log *log;
    apr_pool_t *pool;

    if (apr_pool_create_unmanaged(&pool) != APR_SUCCESS) {
        return NULL;
    }
    log = apr_pcalloc(pool, sizeof(*log));
    log->pool = pool;
    log->ids = *ids;
    log->begun = log->last = apr_time_now();
    log->limit = (apr_size_t)sf_config_call_log();
    log->room = 2 * (log->limit + sizeof(entry_head));
    log->buffer = apr_palloc(pool, log->room);
    if (RAND_bytes(log->noise, NOISE_BYTES) != 1) {
        apr_pool_destroy(pool);
        return NULL;
    }
    return log;
}

/* Copies the head of the entry at an offset, where it may not be aligned. */
static entry_head head_at(const sf_call_log *log, apr_size_t offset)
{
    entry_head head;

    memcpy(&head, log->buffer + offset, sizeof(head));
    return head;
}

/* Drops the oldest entries until `size` bytes more are within the limit. */
static void drop_oldest(sf_call_log *log, apr_size_t size)
{
    while (log->first < log->end && log->end - log->first + size > log->limit) {
        log->first += sizeof(entry_head) + head_at(log, log->first).length;
        log->dropped++;
    }
}

/* Each entry counts its head, too, so that many short ones are within the limit. */
void sf_call_log_add(sf_call_log *log, sf_call_level level, const char *text, apr_size_t length)
{
    const apr_size_t most = log->limit < MESSAGE_BYTES ? log->limit : MESSAGE_BYTES;
    entry_head head = { .level = level };
    apr_size_t size;

    length = length < most ? length : most;
    size = sizeof(head) + length;
    drop_oldest(log, size);
    if (log->end + size > log->room) {
        memmove(log->buffer, log->buffer + log->first, log->end - log->first);
        log->end -= log->first;
        log->first = 0;
    }
    head.time = apr_time_now();
    head.time = head.time > log->last ? head.time : log->last + 1;
    head.length = (apr_uint32_t)length;
    log->last = head.time;
    memcpy(log->buffer + log->end, &head, sizeof(head));
    memcpy(log->buffer + log->end + sizeof(head), text, length);
    log->end += size;
}


/* Writing ------------------------------------------------------------------------------------- */

/* Appends a property of which the value is a SID, or null for an empty uuid. */
static void write_sid(sf_json_writer *json, const char *name, const char *prefix, const char *uuid)
{
    char sid[SF_SID_LENGTH + 1];

    sf_json_write_text(json, name);
    if (!*uuid) {
        sf_json_write_text(json, "null,");
        return;
    }
    sf_sid_write(sid, prefix, uuid);
    sf_json_write_text(json, "\"");
    sf_json_write_text(json, sid);
    sf_json_write_text(json, "\",");
}

/* Appends the SID of an entry, which begins with its time, and the time. */
static void write_identity(sf_json_writer *json, const sf_call_log *log, apr_time_t time)
{
    char digits[2 * NOISE_BYTES + 1];
    apr_time_exp_t date;

    ap_bin2hex(log->noise, NOISE_BYTES, digits);
    apr_time_exp_gmt(&date, time);
    sf_json_write_text(
        json, apr_psprintf(json->pool,
                           "{\"sid\":\"NO%014" APR_UINT64_T_HEX_FMT "%s\","
                           "\"date_created\":\"%04d-%02d-%02dT%02d:%02d:%02d.%06dZ\",",
                           (apr_uint64_t)time, digits, date.tm_year + 1900, date.tm_mon + 1,
                           date.tm_mday, date.tm_hour, date.tm_min, date.tm_sec, date.tm_usec));
}

/* Makes a text of bytes. A NUL becomes a byte that is no UTF-8 either. */
static char *text_of(apr_pool_t *pool, const char *bytes, apr_size_t length)
{
    char *text = apr_palloc(pool, length + 1);
    apr_size_t i;

    memcpy(text, bytes, length);
    for (i = 0; i < length; i++) {
        if (!text[i]) {
            text[i] = '\xff';
        }
    }
    text[length] = '\0';
    return text;
}

/* Writes an entry as JSON. Level and message are the last properties (core/storage/log_spool.c). */
static void write_entry(sf_json_writer *json, const sf_call_log *log, const entry_head *head,
                        const char *text)
{
    const sf_call_ids *ids = &log->ids;

    write_identity(json, log, head->time);
    write_sid(json, "\"account_sid\":", "AC", ids->account);
    write_sid(json, "\"service_sid\":", "ZS", ids->service);
    write_sid(json, "\"environment_sid\":", "ZE", ids->environment);
    write_sid(json, "\"build_sid\":", "ZB", ids->build);
    write_sid(json, "\"deployment_sid\":", "ZD", ids->deployment);
    write_sid(json, "\"function_sid\":", "ZH", ids->function);
    sf_json_write_text(json, "\"request_sid\":");
    sf_json_write_string(json, ids->request);
    sf_json_write_text(json, ",\"level\":");
    sf_json_write_string(json, levels[head->level]);
    sf_json_write_text(json, ",\"message\":");
    sf_json_write_string(json, text);
    sf_json_write_text(json, "}");
}

/* Writes an entry to ServerlessLogTo, as a line. A reader that has ended loses it. */
static void write_to_target(sf_json_writer *json)
{
    const apr_size_t length = json->length;

    if (target >= 0) {
        sf_json_write_text(json, "\n");
        if (write(target, json->text, json->length) < 0) {
            json->length = length;
        }
        json->length = length;
    }
}

/* Makes a record of an entry. */
static void add_record(sf_json_writer *records, const sf_call_log *log, const entry_head *head,
                       const char *text)
{
    sf_json_writer json;

    sf_json_writer_begin(&json, records->pool);
    write_entry(&json, log, head, text);
    sf_log_spool_seal(records, json.text, json.length);
    write_to_target(&json);
}

/* Makes the records of all entries. The first one counts those that were dropped. */
static void make_records(sf_json_writer *records, const sf_call_log *log)
{
    const entry_head first = { .time = log->begun, .level = SF_CALL_WARNING };
    apr_size_t at;

    if (log->dropped > 0) {
        add_record(records, log, &first,
                   apr_psprintf(log->pool, "%" APR_UINT64_T_FMT " earlier entries were dropped",
                                log->dropped));
    }
    for (at = log->first; at < log->end;) {
        const entry_head head = head_at(log, at);

        at += sizeof(head);
        add_record(records, log, &head, text_of(log->pool, log->buffer + at, head.length));
        at += head.length;
    }
}

void sf_call_log_end(sf_call_log *log, server_rec *s)
{
    const sf_caller caller = { log->pool, s, NULL };
    sf_json_writer records;
    apr_status_t rv;

    sf_json_writer_begin(&records, log->pool);
    make_records(&records, log);
    rv = sf_log_spool_append(sf_log_spool_at(log->ids.database), records.text, records.length);
    if (rv != APR_SUCCESS) {
        sf_log_limited(&caller, APLOG_ERR, "SF0090", "the log of a call is lost: %s",
                       rv == EFBIG ? "the spool is full" : strerror(rv));
    }
    apr_pool_destroy(log->pool);
}
