/* The result of a statement, and the SQLSTATEs that it follows from. apr_dbd's results have no
 * SQLSTATE; with libpq's PQERRORS_VERBOSE the error text holds it. For core/db/ only. */
#ifndef SF_DB_SQLSTATE_H
#define SF_DB_SQLSTATE_H

#include "core/caller.h"
#include "core/db/db_result.h"

#define SF_SQLSTATE_LENGTH 5

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
