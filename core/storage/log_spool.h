/* The spool of a node's logs: files to which httpd's children append the log entries of calls, and from which the
 * background child adds them to the database. An entry is in the page cache after one write(): it survives the end
 * of the child, and of httpd. Each database has files of its own in the folder:
 *
 *   NAME.log      which children append to
 *   NAME.TIME     segments, which were NAME.log until TIME; the background child takes the oldest first
 *
 * A record is a line: a checksum and JSON. A line with another checksum was not written as a whole, and is
 * passed over. No lock is needed: a child that appends to a segment which was removed meanwhile appends again. */
#ifndef SF_LOG_SPOOL_H
#define SF_LOG_SPOOL_H

#include "core/json_writer.h"

#include <apr_file_io.h>
#include <apr_tables.h>
#include <apr_user.h>
#include <httpd.h>

/* The most entries of a batch. */
#define SF_LOG_BATCH 500

/* Digits of the name of a database. */
#define SF_LOG_SPOOL_NAME 16

typedef struct {
    const char *folder;
    char name[SF_LOG_SPOOL_NAME + 1];
    apr_off_t segment_bytes; /* NAME.log becomes a segment when it is larger */
    apr_off_t bytes;         /* of all files; then the oldest segment is dropped */
} sf_log_spool;

/* Entries that were read together. */
typedef struct {
    apr_array_header_t *entries; /* the JSON of each, const char * */
    int damaged;                 /* lines that were passed over */
    apr_off_t end;               /* the offset behind them */
} sf_log_batch;

/* Makes the spools of all databases, and their folder (ServerlessLogSpool), which belongs to `user` alone. Called from
 * post_config. Returns APR_SUCCESS or the error of the folder. */
apr_status_t sf_log_spools_make(apr_pool_t *pconf, server_rec *s, apr_uid_t user);

/* Returns the spool of a database by its number. */
const sf_log_spool *sf_log_spool_at(int database);

/* Appends a record to a text of records. The JSON has no line feed. */
void sf_log_spool_seal(sf_json_writer *records, const char *json, apr_size_t length);

/* Appends a text of records by one write(). Returns APR_SUCCESS, or the error: nothing was appended then, or a part
 * that will be passed over. */
apr_status_t sf_log_spool_append(const sf_log_spool *spool, const char *records, apr_size_t length);

/* Returns the path of the oldest segment. Where there is none, NAME.log becomes one. Returns NULL where there are no
 * entries. */
const char *sf_log_spool_oldest(const sf_log_spool *spool, apr_pool_t *pool);

/* Reads the next batch of a segment from an offset. Returns 0 where there is no whole line; with `is_last`, a line
 * without an end counts as damaged. */
int sf_log_spool_read(apr_pool_t *pool, int segment, apr_off_t offset, int is_last,
                      sf_log_batch *batch);

/* Drops the oldest segments while the files have too many bytes. Each Environment gets an entry that counts what was
 * dropped of its log. Returns how many entries were dropped. */
int sf_log_spool_drop(const sf_log_spool *spool, apr_pool_t *pool);

#endif
