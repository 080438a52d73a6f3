#include "core/db/sqlstate.h"

#include "core/log.h"

#include <apr_strings.h>
#include <ctype.h>
#include <http_config.h>
#include <http_log.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

static int is_sqlstate(const char *word)
{
    int i;

    for (i = 0; i < SF_SQLSTATE_LENGTH; i++) {
        if (!isdigit((unsigned char)word[i]) && !isupper((unsigned char)word[i])) {
            return 0;
        }
    }
    return word[i] == ':';
}

void sf_db_sqlstate(const char *text, char sqlstate[SF_SQLSTATE_LENGTH + 1])
{
    const char *word = text ? strchr(text, ':') : NULL;

    sqlstate[0] = '\0';
    if (!word) {
        return;
    }
    word += 1 + strspn(word + 1, " ");
    if (is_sqlstate(word)) {
        memcpy(sqlstate, word, SF_SQLSTATE_LENGTH);
        sqlstate[SF_SQLSTATE_LENGTH] = '\0';
    }
}

/* SQLSTATEs by their beginning; the first entry that matches decides, so that a whole code stands
 * before its class. PostgreSQL's manual, appendix A, lists the codes. */
static const struct {
    const char *prefix;
    sf_db_result result;
} results[] = {
    { "0A000", SF_DB_INVALIDATED },     /* "cached plan must not change result type" */
    { "26000", SF_DB_INVALIDATED },     /* invalid_sql_statement_name */
    { "42P05", SF_DB_INVALIDATED },     /* duplicate_prepared_statement */
    { "40001", SF_DB_NOT_RUN },         /* serialization_failure */
    { "40P01", SF_DB_NOT_RUN },         /* deadlock_detected */
    { "55P03", SF_DB_LOCKED },          /* lock_not_available: lock_timeout */
    { "23503", SF_DB_PARENT_MISSING },  /* foreign_key_violation */
    { "3F000", SF_DB_NO_SCHEMA },       /* invalid_schema_name */
    { "42P01", SF_DB_NO_SCHEMA },       /* undefined_table */
    { "42703", SF_DB_NO_SCHEMA },       /* undefined_column */
    { "42883", SF_DB_NO_SCHEMA },       /* undefined_function */
    { "42501", SF_DB_NO_SCHEMA },       /* insufficient_privilege */
    { "25006", SF_DB_UNAVAILABLE },     /* read_only_sql_transaction: a standby */
    { "25P03", SF_DB_CONNECTION_LOST }, /* idle_in_transaction_session_timeout */
    { "57014", SF_DB_UNAVAILABLE },     /* query_canceled: statement_timeout */
    { "08", SF_DB_CONNECTION_LOST },    /* connection exceptions */
    { "57P", SF_DB_CONNECTION_LOST },   /* shutdown, crash, not yet started */
    { "53", SF_DB_UNAVAILABLE },        /* disk full, out of memory, too many connections */
};

sf_db_result sf_db_result_of_sqlstate(const char *sqlstate)
{
    unsigned i;

    if (!*sqlstate) {
        return SF_DB_CONNECTION_LOST;
    }
    for (i = 0; i < sizeof(results) / sizeof(*results); i++) {
        if (strncmp(sqlstate, results[i].prefix, strlen(results[i].prefix)) == 0) {
            return results[i].result;
        }
    }
    return SF_DB_FAILED;
}

sf_db_result sf_db_result_of_error(const char *text)
{
    char sqlstate[SF_SQLSTATE_LENGTH + 1];

    sf_db_sqlstate(text, sqlstate);
    return sf_db_result_of_sqlstate(sqlstate);
}

const char *sf_db_loggable(char *text, const char *sqlstate)
{
    if (!text || strncmp(sqlstate, "22", 2) == 0) {
        return "(text withheld: it quotes a value)";
    }
    text[strcspn(text, "\r\n")] = '\0';
    return text;
}

static int concerns_many_requests(sf_db_result result)
{
    return result == SF_DB_CONNECTION_LOST || result == SF_DB_UNAVAILABLE
           || result == SF_DB_NO_SCHEMA;
}

void sf_db_log_failure(const sf_caller *caller, const char *doing, const char *statement,
                       char *text)
{
    char sqlstate[SF_SQLSTATE_LENGTH + 1];
    const char *line;

    sf_db_sqlstate(text, sqlstate);
    line = apr_psprintf(caller->pool, "%s %s failed: SQLSTATE %s: %s", doing, statement,
                        *sqlstate ? sqlstate : "none", sf_db_loggable(text, sqlstate));
    if (concerns_many_requests(sf_db_result_of_sqlstate(sqlstate))) {
        sf_log_limited(caller, APLOG_ERR, "SF0003", "%s", line);
    }
    else {
        sf_log(caller, APLOG_ERR, "SF0003", "%s", line);
    }
}
