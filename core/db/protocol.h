/* Messages to PostgreSQL and answers from it, through libpq's functions that do not block. The
 * connection is in libpq's non-blocking mode. For core/db/ only. */
#ifndef SF_DB_PROTOCOL_H
#define SF_DB_PROTOCOL_H

#include "statements.h"

#include <apr_time.h>
#include <libpq-fe.h>

/* Sends the preparation of a statement. Returns 0 where libpq does not take it. */
int sf_protocol_send_preparation(PGconn *native, sf_statement_id id);

/* Sends a prepared statement. `values` are its parameters as text, or NULL where it has none.
 * Returns 0 where libpq does not take it. */
int sf_protocol_send_statement(PGconn *native, sf_statement_id id, const char *const *values);

/* Waits for the whole answer to the message that was sent, at most until `deadline`. Returns the
 * last result, or the first that is an error; the caller clears it. Returns NULL where the deadline
 * has passed: the connection is of no use any more then. */
PGresult *sf_protocol_receive(PGconn *native, apr_time_t deadline);

/* Ends the connection at once, and without waiting: PostgreSQL finds it closed and rolls back,
 * PQstatus() is CONNECTION_BAD. */
void sf_protocol_drop(PGconn *native);

/* Ends the stream of a connection that no statement uses, without a change of libpq's handle: the next
 * statement finds the connection closed. */
void sf_protocol_end_stream(const PGconn *native);

#endif
