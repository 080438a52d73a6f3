#include "core/storage/log_spool.h"

#include "core/config.h"

#include <apr_hash.h>
#include <apr_siphash.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_MODE 0700
#define FILE_MODE 0600

#define SEGMENT_BYTES (8 * 1024 * 1024)
#define SPOOL_BYTES (64 * 1024 * 1024)

/* More than the longest record. */
#define READ_BYTES (512 * 1024)

#define CHECKSUM_DIGITS 16
#define CURRENT "log"
#define PATH_BYTES 1200

#define ENVIRONMENT "\"environment_sid\":\""
#define LEVEL "\"level\":"
#define MESSAGE "\"message\":\""
#define DROPPED " entries were dropped, because the database was away for too long\"}"

/* By the number of the database, which begins at 1. */
static sf_log_spool *spools;


/* Names --------------------------------------------------------------------------------------- */

static apr_uint64_t checksum(const char *bytes, apr_size_t length)
{
    static const unsigned char key[APR_SIPHASH_KSIZE];

    return apr_siphash24(bytes, length, key);
}

/* Makes the folder, unless it is there. */
static apr_status_t make_folder(const char *folder, apr_uid_t user)
{
    apr_status_t rv = APR_SUCCESS;
    int fd;

    if (mkdir(folder, FOLDER_MODE) != 0) {
        return errno == EEXIST ? APR_SUCCESS : errno;
    }
    if (geteuid() != 0) {
        return APR_SUCCESS;
    }
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchown(fd, user, (gid_t)-1) != 0) {
        rv = errno;
    }
    if (fd >= 0) {
        close(fd);
    }
    return rv;
}

/* Returns DBDParams without the password, which is no part of the database's name. */
static const char *without_password(apr_pool_t *pool, const char *params)
{
    const char *password = strstr(params, "password=");

    return password
               ? apr_pstrcat(pool, apr_pstrmemdup(pool, params, (apr_size_t)(password - params)),
                             password + strcspn(password, " "), NULL)
               : params;
}

/* Names the spool of a database by its DBDParams, so that the name is the same after a restart. */
static void make_spool(sf_log_spool *spool, apr_pool_t *pool, const server_rec *s)
{
    const char *params = sf_config_db_params(s);
    const char *text = params ? without_password(pool, params) : "";

    spool->folder = sf_config_log_spool(pool);
    spool->segment_bytes = SEGMENT_BYTES;
    spool->bytes = SPOOL_BYTES;
    apr_snprintf(spool->name, sizeof(spool->name), "%016" APR_UINT64_T_HEX_FMT,
                 checksum(text, strlen(text)));
}

apr_status_t sf_log_spools_make(apr_pool_t *pconf, server_rec *s, apr_uid_t user)
{
    spools = apr_pcalloc(pconf, sizeof(*spools) * ((apr_size_t)sf_config_databases(s) + 1));
    for (s = sf_config_next_database(s); s; s = sf_config_next_database(s->next)) {
        make_spool(&spools[sf_config_database(s)], pconf, s);
    }
    return make_folder(sf_config_log_spool(pconf), user);
}

const sf_log_spool *sf_log_spool_at(int database)
{
    return &spools[database];
}

static void write_path(char path[PATH_BYTES], const sf_log_spool *spool, const char *end)
{
    apr_snprintf(path, PATH_BYTES, "%s/%s.%s", spool->folder, spool->name, end);
}


/* Appending ----------------------------------------------------------------------------------- */

void sf_log_spool_seal(sf_json_writer *records, const char *json, apr_size_t length)
{
    char sum[CHECKSUM_DIGITS + 2];

    apr_snprintf(sum, sizeof(sum), "%016" APR_UINT64_T_HEX_FMT " ", checksum(json, length));
    if (records->length == 0) {
        sf_json_write_text(records, "\n"); /* ends a line that was not written as a whole */
    }
    sf_json_write_text(records, sum);
    sf_json_write(records, json, length);
    sf_json_write_text(records, "\n");
}

/* Writes to the file, unless it is full. */
static apr_status_t write_records(const sf_log_spool *spool, int fd, const char *records,
                                  apr_size_t length)
{
    struct stat file;
    ssize_t written;

    if (fstat(fd, &file) != 0) {
        return errno;
    }
    if (file.st_size + (apr_off_t)length > spool->bytes) {
        return EFBIG;
    }
    written = write(fd, records, length);
    if (written < 0) {
        return errno;
    }
    return (apr_size_t)written == length ? APR_SUCCESS : ENOSPC;
}

/* Whether the file was removed: its entries have been read, but perhaps without the last ones. */
static int is_removed(int fd)
{
    struct stat file;

    return fstat(fd, &file) == 0 && file.st_nlink == 0;
}

apr_status_t sf_log_spool_append(const sf_log_spool *spool, const char *records, apr_size_t length)
{
    char path[PATH_BYTES];
    apr_status_t rv;
    int again;
    int fd;

    write_path(path, spool, CURRENT);
    do {
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
        if (fd < 0) {
            return errno;
        }
        rv = write_records(spool, fd, records, length);
        again = rv == APR_SUCCESS && is_removed(fd);
        close(fd);
    } while (again);
    return rv;
}


/* Segments ------------------------------------------------------------------------------------ */

/* The segments of a spool. */
typedef struct {
    const char *oldest; /* its path, or NULL */
    apr_off_t bytes;    /* of all segments */
} segment_list;

static void list_segments(const sf_log_spool *spool, apr_pool_t *pool, segment_list *list)
{
    const apr_size_t length = strlen(spool->name);
    const char *oldest = NULL;
    apr_finfo_t file;
    apr_dir_t *folder;

    memset(list, 0, sizeof(*list));
    if (apr_dir_open(&folder, spool->folder, pool) != APR_SUCCESS) {
        return;
    }
    while (apr_dir_read(&file, APR_FINFO_NAME | APR_FINFO_SIZE, folder) == APR_SUCCESS) {
        if (strncmp(file.name, spool->name, length) != 0 || file.name[length] != '.'
            || strcmp(file.name + length + 1, CURRENT) == 0) {
            continue;
        }
        list->bytes += file.size;
        if (!oldest || strcmp(file.name, oldest) < 0) {
            oldest = apr_pstrdup(pool, file.name);
        }
    }
    apr_dir_close(folder);
    list->oldest = oldest ? apr_pstrcat(pool, spool->folder, "/", oldest, NULL) : NULL;
}

/* Returns the bytes of the file that children append to. */
static apr_off_t current_size(const sf_log_spool *spool)
{
    char path[PATH_BYTES];
    struct stat file;

    write_path(path, spool, CURRENT);
    return stat(path, &file) == 0 ? file.st_size : 0;
}

/* Makes a segment of the file that children append to. Where that fails, the file is tried again at the next call. */
static void rotate(const sf_log_spool *spool)
{
    char path[PATH_BYTES];
    char segment[PATH_BYTES];
    char time[CHECKSUM_DIGITS + 1];

    apr_snprintf(time, sizeof(time), "%016" APR_UINT64_T_HEX_FMT, (apr_uint64_t)apr_time_now());
    write_path(path, spool, CURRENT);
    write_path(segment, spool, time);
    (void)rename(path, segment);
}

const char *sf_log_spool_oldest(const sf_log_spool *spool, apr_pool_t *pool)
{
    segment_list list;

    list_segments(spool, pool, &list);
    if (!list.oldest && current_size(spool) > 0) {
        rotate(spool);
        list_segments(spool, pool, &list);
    }
    return list.oldest;
}


/* Reading ------------------------------------------------------------------------------------- */

/* Takes a line, which ends with a NUL. */
static void take_line(sf_log_batch *batch, const char *line, apr_size_t length)
{
    char *end;

    if (length == 0) {
        return;
    }
    if (length > CHECKSUM_DIGITS + 1
        && strtoull(line, &end, 16)
               == checksum(line + CHECKSUM_DIGITS + 1, length - CHECKSUM_DIGITS - 1)
        && end == line + CHECKSUM_DIGITS && *end == ' ') {
        APR_ARRAY_PUSH(batch->entries, const char *) = line + CHECKSUM_DIGITS + 1;
    }
    else {
        batch->damaged++;
    }
}

/* Takes the lines of a buffer. Returns the bytes of these lines. */
static apr_size_t take_lines(sf_log_batch *batch, char *buffer, apr_size_t length)
{
    apr_size_t taken = 0;
    char *end;

    while (batch->entries->nelts < SF_LOG_BATCH
           && (end = memchr(buffer + taken, '\n', length - taken)) != NULL) {
        *end = '\0';
        take_line(batch, buffer + taken, (apr_size_t)(end - buffer) - taken);
        taken = (apr_size_t)(end - buffer) + 1;
    }
    return taken;
}

int sf_log_spool_read(apr_pool_t *pool, int segment, apr_off_t offset, int is_last,
                      sf_log_batch *batch)
{
    char *buffer = apr_palloc(pool, READ_BYTES + 1);
    const ssize_t length = pread(segment, buffer, READ_BYTES, offset);
    apr_size_t taken;

    batch->entries = apr_array_make(pool, SF_LOG_BATCH, sizeof(const char *));
    batch->damaged = 0;
    batch->end = offset;
    if (length <= 0) {
        return 0;
    }
    taken = take_lines(batch, buffer, (apr_size_t)length);
    if (taken == 0 && (is_last || length == READ_BYTES)) {
        batch->damaged++;
        taken = (apr_size_t)length;
    }
    batch->end += (apr_off_t)taken;
    return taken > 0;
}


/* Dropping ------------------------------------------------------------------------------------ */

/* What was dropped of the log of an Environment. */
typedef struct {
    const char *last; /* the last entry */
    int count;
} dropped_log;

/* Returns how many entries an entry stands for: that which counts dropped ones for these. */
static int entries_of(const char *json)
{
    const char *message = strstr(json, MESSAGE);
    char *end;
    long count;

    if (!message) {
        return 1;
    }
    count = strtol(message + strlen(MESSAGE), &end, 10);
    return count > 0 && strcmp(end, DROPPED) == 0 ? (int)count : 1;
}

/* Counts an entry. */
static int count_dropped(apr_pool_t *pool, apr_hash_t *logs, const char *json)
{
    const char *environment = strstr(json, ENVIRONMENT);
    dropped_log *log;
    apr_size_t length;

    if (!environment) {
        return 0;
    }
    environment += strlen(ENVIRONMENT);
    length = strcspn(environment, "\"");
    log = apr_hash_get(logs, environment, (apr_ssize_t)length);
    if (!log) {
        log = apr_pcalloc(pool, sizeof(*log));
        apr_hash_set(logs, apr_pstrmemdup(pool, environment, length), (apr_ssize_t)length, log);
    }
    log->last = apr_pstrdup(pool, json);
    log->count += entries_of(json);
    return entries_of(json);
}

/* Counts the entries of a segment by Environment. Returns how many there are. */
static int count_segment(apr_pool_t *pool, int segment, apr_hash_t *logs)
{
    apr_pool_t *scratch;
    sf_log_batch batch = { .end = 0 };
    int count = 0;
    int i;

    apr_pool_create(&scratch, pool);
    while (sf_log_spool_read(scratch, segment, batch.end, 1, &batch)) {
        for (i = 0; i < batch.entries->nelts; i++) {
            count += count_dropped(pool, logs, APR_ARRAY_IDX(batch.entries, i, const char *));
        }
        apr_pool_clear(scratch);
    }
    apr_pool_destroy(scratch);
    return count;
}

/* Appends an entry for each Environment, in the place of the last one that was dropped. */
static void append_counts(const sf_log_spool *spool, apr_pool_t *pool, apr_hash_t *logs)
{
    sf_json_writer records;
    apr_hash_index_t *at;

    sf_json_writer_begin(&records, pool);
    for (at = apr_hash_first(pool, logs); at; at = apr_hash_next(at)) {
        const dropped_log *log = apr_hash_this_val(at);
        const char *level = strstr(log->last, LEVEL);
        const char *json;

        if (level) {
            json = apr_psprintf(pool, "%.*s" LEVEL "\"WARNING\"," MESSAGE "%d" DROPPED,
                                (int)(level - log->last), log->last, log->count);
            sf_log_spool_seal(&records, json, strlen(json));
        }
    }
    if (records.length > 0) {
        sf_log_spool_append(spool, records.text, records.length);
    }
}

/* Drops a segment. Returns how many entries it had. */
static int drop_segment(const sf_log_spool *spool, apr_pool_t *pool, const char *path)
{
    apr_hash_t *logs = apr_hash_make(pool);
    const int segment = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int count = 0;

    unlink(path);
    if (segment >= 0) {
        count = count_segment(pool, segment, logs);
        append_counts(spool, pool, logs);
        close(segment);
    }
    return count;
}

int sf_log_spool_drop(const sf_log_spool *spool, apr_pool_t *pool)
{
    segment_list list;
    int count = 0;

    if (current_size(spool) > spool->segment_bytes) {
        rotate(spool);
    }
    list_segments(spool, pool, &list);
    while (list.oldest && list.bytes + current_size(spool) > spool->bytes) {
        count += drop_segment(spool, pool, list.oldest);
        list_segments(spool, pool, &list);
    }
    return count;
}
