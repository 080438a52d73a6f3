#include "core/clock.h"

#include <time.h>

apr_time_t sf_clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return apr_time_make(now.tv_sec, now.tv_nsec / 1000);
}

void sf_clock_sleep(apr_interval_time_t interval)
{
    const apr_time_t end = sf_clock_now() + interval;
    apr_interval_time_t left;

    while ((left = end - sf_clock_now()) > 0) {
        apr_sleep(left);
    }
}
