/* The clock of leases: CLOCK_BOOTTIME, which cannot be set, which goes on while the machine is suspended, and
 * which is the same in all processes. */
#ifndef SF_CLOCK_H
#define SF_CLOCK_H

#include <apr_time.h>

/* Returns the microseconds since the machine was started. */
apr_time_t sf_clock_now(void);

/* Sleeps until the clock has gone on by `interval`, however often signals interrupt the sleep. */
void sf_clock_sleep(apr_interval_time_t interval);

#endif
