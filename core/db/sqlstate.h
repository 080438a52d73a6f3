/* What a failed statement means. There is no SQLSTATE in apr_dbd's results, but with libpq's
 * PQERRORS_VERBOSE it stands in the text. */
#ifndef SF_DB_SQLSTATE_H
#define SF_DB_SQLSTATE_H

#include "core/caller.h"

#define SF_SQLSTATE_LENGTH 5

typedef enum {
    SF_DB_OK,
    SF_DB_CONNECTION_LOST, /* whether it ran is not known */
    SF_DB_NOT_RUN,         /* rolled back whole: may be repeated */
    SF_DB_FORGOTTEN,       /* never ran: the session does not know the prepared statement */
    SF_DB_PARENT_MISSING,  /* a foreign key found nothing */
    SF_DB_NO_SCHEMA,       /* a table, function or schema is not there, or not open to us */
    SF_DB_UNAVAILABLE,     /* the database cannot do it now */
    SF_DB_FAILED           /* a fault of ours */
} sf_db_result;

/* Copies the SQLSTATE out of libpq's verbose error text, or "" if there is none. The severity before
 * it may be in any language: it is the first word of five [0-9A-Z] between ": " and ":". */
void sf_db_sqlstate(const char *text, char sqlstate[SF_SQLSTATE_LENGTH + 1]);

/* What a SQLSTATE means for a request ("" is a connection that broke). */
sf_db_result sf_db_result_of(const char *sqlstate);

/* The same, straight from the text. */
sf_db_result sf_db_meaning(const char *text);

/* The part of the error text that may be logged: its first line, which names constraints, tables and
 * functions but no values; nothing for data exceptions (class 22), which quote the value. */
const char *sf_db_loggable(char *text, const char *sqlstate);

/* Logs that doing something to a statement failed, with what may be logged of the text, which is
 * changed. */
void sf_db_log_failure(const sf_caller *caller, const char *doing, const char *statement,
                       char *text);

#endif
