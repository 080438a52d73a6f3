/* The times of the API: ISO 8601, as the API itself and JavaScript's toISOString() write them. */
#ifndef SF_DATE_H
#define SF_DATE_H

#include <apr_pools.h>

/* Reads a time of ISO 8601 in each form that clients' languages write: "2018-11-10T20:00:00Z"; with up to
 * nine digits of a fraction behind a point or a comma; with an offset in place of Z ("+01:00", "+0100",
 * "+01"; a "+" that was not percent-encoded arrives as a space); without a zone, which is UTC; without
 * seconds; with a space in place of T, or with small letters. Returns the time in UTC as PostgreSQL takes
 * it, with a Z and the fraction's digits as given, microseconds at most. Returns NULL where the text is no
 * time, or is before the year 1 or after 9999. */
const char *sf_date_read(apr_pool_t *pool, const char *text);

#define SF_DATE_DAY_LENGTH (sizeof("2018-11-10") - 1)

/* The day that was written last, which is often the next row's, too. Zeros at the beginning. */
typedef struct {
    apr_int64_t number; /* days since 1970 */
    char text[SF_DATE_DAY_LENGTH];
} sf_date_day;

/* Bytes that sf_date_write() writes, the NUL included. */
#define SF_DATE_ROOM sizeof("2018-11-10T20:00:00Z")

/* Writes a time as the API shows it: whole seconds in UTC, "2018-11-10T20:00:00Z", of the years 1900 to 9999.
 * `microseconds` are since 1970, as PostgreSQL prints a bigint. Returns the address of the final NUL. */
char *sf_date_write(char *to, sf_date_day *day, const char *microseconds);

#endif
