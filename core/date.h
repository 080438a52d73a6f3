/* The times of the API: ISO 8601, as the API itself and JavaScript's toISOString() write them. */
#ifndef SF_DATE_H
#define SF_DATE_H

#include <apr_pools.h>

/* Reads "2018-11-10T20:00:00Z". A fraction of up to nine digits may follow the seconds, and an offset
 * ("+01:00") may stand in place of Z; its "+" may be a space, as a "+" that is not percent-encoded arrives.
 * Returns the time in UTC for PostgreSQL, with a Z and the fraction's digits, six at most; or NULL where
 * the text is not a time of the years 1 to 9999. */
const char *sf_date_read(apr_pool_t *pool, const char *text);

#define SF_DATE_DAY_LENGTH (sizeof("2018-11-10") - 1)

/* The day that was written last, which is often the next row's, too. Zeros at the beginning. */
typedef struct {
    apr_int64_t number; /* since 1970 */
    char text[SF_DATE_DAY_LENGTH];
} sf_date_day;

/* Bytes that sf_date_write() writes, the NUL included. */
#define SF_DATE_ROOM sizeof("2018-11-10T20:00:00Z")

/* Writes a time as the API shows it: whole seconds in UTC, "2018-11-10T20:00:00Z", of the years 1900 to 9999.
 * `microseconds` are since 1970, as PostgreSQL prints a bigint. Returns the address of the final NUL. */
char *sf_date_write(char *to, sf_date_day *day, const char *microseconds);

#endif
