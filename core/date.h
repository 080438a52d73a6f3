/* Times as clients read and write them: ISO 8601, as the API's own and as JavaScript's toISOString() has
 * it. */
#ifndef SF_DATE_H
#define SF_DATE_H

#include <apr_pools.h>

/* Reads "2018-11-10T20:00:00Z": up to nine digits of a fraction may follow the seconds, and an offset
 * ("+01:00"; "+" may be a space, as which it arrives when it is not percent-encoded) may stand for Z.
 * Returns the time in UTC with a Z and the fraction's digits as given, microseconds at most, as
 * PostgreSQL takes it; NULL where it is none, or before the year 1 or after 9999. */
const char *sf_date_read(apr_pool_t *pool, const char *text);

#define SF_DATE_DAY_LENGTH (sizeof("2018-11-10") - 1)

/* The day that was written last, which is the next row's more often than not. Begins as zeros. */
typedef struct {
    apr_int64_t number; /* since 1970 */
    char text[SF_DATE_DAY_LENGTH];
} sf_date_day;

/* Room for what sf_date_write() writes. */
#define SF_DATE_ROOM sizeof("2018-11-10T20:00:00Z")

/* Writes a time, microseconds since 1970 as PostgreSQL prints a bigint, as the API shows it: whole
 * seconds in UTC, "2018-11-10T20:00:00Z", of the years 1900 to 9999. Returns where the terminating NUL
 * stands. */
char *sf_date_write(char *to, sf_date_day *day, const char *microseconds);

#endif
