/* Times as clients write them: ISO 8601, as the API's own and as JavaScript's toISOString() has it. */
#ifndef SF_DATE_H
#define SF_DATE_H

#include <apr_pools.h>

/* Reads "2018-11-10T20:00:00Z": up to nine digits of a fraction may follow the seconds, and an offset
 * ("+01:00"; "+" may be a space, as which it arrives when it is not percent-encoded) may stand for Z.
 * Returns the time in UTC with a Z and the fraction's digits as given, microseconds at most, as
 * PostgreSQL takes it; NULL where it is none, or before the year 1 or after 9999. */
const char *sf_date_read(apr_pool_t *pool, const char *text);

#endif
