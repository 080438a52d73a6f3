/* The log entries of one call: what its Function prints, and what httpd has to say about the call. They are kept in
 * memory, and appended to the node's spool by one write() when the call ends. */
#ifndef SF_CALL_LOG_H
#define SF_CALL_LOG_H

#include "runtime/domains/domain.h"

typedef enum { SF_CALL_INFO, SF_CALL_WARNING, SF_CALL_ERROR } sf_call_level;

/* What all entries of a call have in common. */
typedef struct {
    int database;
    char account[SF_UUID_LENGTH + 1];
    char service[SF_UUID_LENGTH + 1];
    char environment[SF_UUID_LENGTH + 1];
    char build[SF_UUID_LENGTH + 1];
    char deployment[SF_UUID_LENGTH + 1]; /* or "" */
    char function[SF_UUID_LENGTH + 1];
    char request[SF_SID_LENGTH + 1];
} sf_call_ids;

typedef struct sf_call_log sf_call_log;

/* Opens the file or program of ServerlessLogTo. Called from post_config. Returns APR_SUCCESS or the error, which has
 * been logged. */
apr_status_t sf_call_log_post_config(apr_pool_t *pconf, server_rec *s);

/* Takes the ids of a request's call. */
void sf_call_ids_of(sf_call_ids *ids, const sf_domain_request *request);

/* Begins the log of a call, in memory of its own. Returns NULL where there is none. */
sf_call_log *sf_call_log_begin(const sf_call_ids *ids);

/* Adds an entry of any bytes; those that are no UTF-8 will be U+FFFD. The log keeps the last ServerlessCallLog bytes,
 * and counts the entries before. */
void sf_call_log_add(sf_call_log *log, sf_call_level level, const char *text, apr_size_t length);

/* Appends the entries to the spool, and writes them to ServerlessLogTo. The log is gone then. `s` is for lines of
 * httpd's own log. */
void sf_call_log_end(sf_call_log *log, server_rec *s);

#endif
