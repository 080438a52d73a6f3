#include "worker/log_drain.h"

#include "core/config.h"
#include "core/db/db.h"
#include "core/log.h"
#include "core/storage/log_spool.h"
#include "worker/background.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <http_log.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

APLOG_USE_MODULE(serverless_functions);

#define DRAIN_INTERVAL apr_time_from_msec(250)

/* How long a database is left alone that did not answer. */
#define RETRY_INTERVAL apr_time_from_sec(2)

/* The drain of one database. A segment of which some batches were added goes on behind them. */
typedef struct {
    sf_background_task task;
    char *segment; /* its path, or NULL */
    apr_off_t offset;
} log_drain;

/* A segment that is being added. */
typedef struct {
    sf_caller caller;
    const sf_log_spool *spool;
    int fd;
    apr_off_t offset;
} open_segment;


/* Adding -------------------------------------------------------------------------------------- */

/* Makes a JSON array of some entries. */
static const char *array_of(apr_pool_t *pool, const apr_array_header_t *entries, int first,
                            int count)
{
    sf_json_writer json;
    int i;

    sf_json_writer_begin(&json, pool);
    for (i = 0; i < count; i++) {
        const char *entry = APR_ARRAY_IDX(entries, first + i, const char *);

        sf_json_write_text(&json, i == 0 ? "[" : ",");
        sf_json_write(&json, entry, strlen(entry));
    }
    sf_json_write(&json, "]", sizeof("]"));
    return json.text;
}

/* Adds some entries in one statement. */
static sf_db_result try_entries(const sf_caller *caller, const apr_array_header_t *entries,
                                int first, int count)
{
    const char *values[] = { array_of(caller->pool, entries, first, count) };
    sf_rows *rows;

    return sf_db_try(caller, SF_STATEMENT_LOG_ADD, values, &rows);
}

/* Adds entries one by one, since the database has refused them together. One that it refuses is
 * dropped. Returns 0 where the database is away. */
static int add_one_by_one(const sf_caller *caller, const apr_array_header_t *entries)
{
    int dropped = 0;
    int i;

    for (i = 0; i < entries->nelts; i++) {
        const sf_db_result result = try_entries(caller, entries, i, 1);

        if (result != SF_DB_OK && result != SF_DB_FAILED) {
            return 0;
        }
        dropped += result == SF_DB_FAILED;
    }
    if (dropped > 0) {
        sf_log(caller, APLOG_ERR, "SF0092",
               "%d log entries were refused by the database, and dropped", dropped);
    }
    return 1;
}

/* Adds a batch. Returns 0 where the database is away. */
static int add_batch(const sf_caller *caller, const sf_log_batch *batch)
{
    sf_db_result result = SF_DB_OK;

    if (batch->damaged > 0) {
        sf_log(caller, APLOG_WARNING, "SF0093",
               "%d records of the spool of logs were not written as a whole, and passed over",
               batch->damaged);
    }
    if (batch->entries->nelts > 0) {
        result = try_entries(caller, batch->entries, 0, batch->entries->nelts);
    }
    return result == SF_DB_OK || (result == SF_DB_FAILED && add_one_by_one(caller, batch->entries));
}


/* Segments ------------------------------------------------------------------------------------ */

/* Adds the batches of a segment from its offset on. Returns 0 where the database is away. */
static int add_batches(open_segment *segment, int is_last)
{
    sf_caller scratch = segment->caller;
    sf_log_batch batch;
    int added = 1;

    apr_pool_create(&scratch.pool, segment->caller.pool);
    while (added
           && sf_log_spool_read(scratch.pool, segment->fd, segment->offset, is_last, &batch)) {
        added = !sf_background_stopping() && add_batch(&scratch, &batch);
        segment->offset = added ? batch.end : segment->offset;
        apr_pool_clear(scratch.pool);
    }
    apr_pool_destroy(scratch.pool);
    return added;
}

/* Puts back the entries that a child had appended just before the segment was removed. */
static void put_back(const open_segment *segment)
{
    sf_json_writer records;
    sf_log_batch batch = { .end = segment->offset };
    int i;

    sf_json_writer_begin(&records, segment->caller.pool);
    while (sf_log_spool_read(segment->caller.pool, segment->fd, batch.end, 1, &batch)) {
        for (i = 0; i < batch.entries->nelts; i++) {
            const char *entry = APR_ARRAY_IDX(batch.entries, i, const char *);

            sf_log_spool_seal(&records, entry, strlen(entry));
        }
    }
    if (records.length > 0) {
        sf_log_spool_append(segment->spool, records.text, records.length);
    }
}

/* Adds the entries of a segment and removes it. A child that still appends to it finds it removed, or
 * has its entries read after that. Returns 0 where the database is away: the segment stays. */
static int drain_segment(log_drain *drain, open_segment *segment, const char *path)
{
    if (!add_batches(segment, 0)) {
        free(drain->segment);
        drain->segment = strdup(path);
        drain->offset = segment->offset;
        return 0;
    }
    unlink(path);
    if (!add_batches(segment, 1)) {
        put_back(segment);
        return 0;
    }
    return 1;
}

/* Adds the oldest segment. Returns 0 where there is none, or where it cannot be added now. */
static int drain_oldest(log_drain *drain, const sf_caller *caller)
{
    open_segment segment = { *caller, sf_log_spool_at(sf_config_database(caller->server)), -1, 0 };
    const char *path = sf_log_spool_oldest(segment.spool, caller->pool);
    int drained;

    if (!path) {
        return 0;
    }
    segment.fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (segment.fd < 0) {
        sf_log_limited(caller, APLOG_ERR, "SF0094", "cannot read the spool of logs: %pm", &errno);
        return 0;
    }
    segment.offset = drain->segment && strcmp(drain->segment, path) == 0 ? drain->offset : 0;
    drained = drain_segment(drain, &segment, path);
    close(segment.fd);
    if (!drained) {
        drain->task.next_step = apr_time_now() + RETRY_INTERVAL;
    }
    return drained;
}

static void drop_what_is_too_much(const sf_caller *caller)
{
    const sf_log_spool *spool = sf_log_spool_at(sf_config_database(caller->server));
    const int dropped = sf_log_spool_drop(spool, caller->pool);

    if (dropped > 0) {
        sf_log(caller, APLOG_ERR, "SF0091",
               "the spool of logs was full: %d entries were dropped, since the database has been "
               "away for too long",
               dropped);
    }
}

static void drain_step(sf_background_task *task, apr_pool_t *pool)
{
    const sf_caller caller = { pool, task->server, NULL };

    drop_what_is_too_much(&caller);
    if (apr_time_now() < task->next_step) {
        return;
    }
    task->next_step = apr_time_now() + DRAIN_INTERVAL;
    while (!sf_background_stopping() && drain_oldest((log_drain *)task, &caller)) {
    }
}

void sf_log_drain_register(apr_pool_t *pconf, server_rec *s)
{
    static const sf_background_kind kind = { "logs", drain_step, sizeof(log_drain), 1 };

    sf_background_add(&kind, s, pconf);
}
