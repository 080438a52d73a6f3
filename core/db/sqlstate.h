/* The result of a statement, and the SQLSTATEs that it follows from. apr_dbd's results have no
 * SQLSTATE; with libpq's PQERRORS_VERBOSE the error text holds it. For core/db/ only. */
#ifndef SF_DB_SQLSTATE_H
#define SF_DB_SQLSTATE_H

#include "core/caller.h"

#define SF_SQLSTATE_LENGTH 5

/* The result of one attempt to run a statement. README.md tells which are tried again. */
typedef enum {
    SF_DB_OK,
    /* The statement may have run, or not. */
    SF_DB_CONNECTION_LOST,
    /* It did not run, or was rolled back as a whole. */
    SF_DB_NOT_RUN,
    /* It did not run: the session does not know the prepared statement, or the schema changed under
     * its plan. The session must be reset. */
    SF_DB_INVALIDATED,
    /* A foreign key references no row. */
    SF_DB_PARENT_MISSING,
    /* A schema, table or function does not exist, or the role has no right to it. */
    SF_DB_NO_SCHEMA,
    /* The database, or a connection to it, cannot be had now. */
    SF_DB_UNAVAILABLE,
    /* Any other error: a fault of the module's. */
    SF_DB_FAILED
} sf_db_result;

/* Copies the SQLSTATE out of libpq's verbose error text; "" where the text is NULL or has none. The
 * severity before it may be in any language: the SQLSTATE is the word of five [0-9A-Z] after the
 * first ": ", followed by ":". */
void sf_db_sqlstate(const char *text, char sqlstate[SF_SQLSTATE_LENGTH + 1]);

/* Returns the result that a SQLSTATE stands for. "" is SF_DB_CONNECTION_LOST: libpq has no SQLSTATE
 * for a connection that broke. */
sf_db_result sf_db_result_of_sqlstate(const char *sqlstate);

/* Returns the result that libpq's verbose error text stands for. */
sf_db_result sf_db_result_of_error(const char *text);

/* Returns the part of an error text that may be logged: its first line, which names constraints,
 * tables and functions but no values. For data exceptions (class 22), which quote the value, and
 * for NULL it returns a note instead. Cuts the text in place. */
const char *sf_db_loggable(char *text, const char *sqlstate);

/* Logs SF0003 for a statement: "`doing` `statement` failed", with the loggable part of the error
 * text, which is cut in place. */
void sf_db_log_failure(const sf_caller *caller, const char *doing, const char *statement,
                       char *text);

#endif
