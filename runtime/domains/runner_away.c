#include "runtime/domains/runner_away.h"

#include "core/clock.h"
#include "core/config.h"
#include "core/log.h"
#include "runtime/protocol/protocol.h"

#include <apr_atomic.h>
#include <apr_shm.h>
#include <apr_strings.h>
#include <http_log.h>
#include <http_main.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

/* How often each line is logged. */
#define INTERVAL apr_time_from_sec(60)

/* How often a child tries to connect. */
#define PAUSE apr_time_from_msec(50)

/* When each line was logged last, by sf_clock_now(); 0 for never. Children share it. */
typedef struct {
    volatile apr_uint64_t away;
    volatile apr_uint64_t version;
} logged_times;

static logged_times *logged;

/* Of this child. */
static struct {
    apr_time_t since; /* 0: the runner is not away */
    apr_time_t tried; /* when the last attempt has failed */
    apr_status_t reason;
} away;

apr_status_t sf_runner_away_post_config(apr_pool_t *pool)
{
    apr_shm_t *memory;
    const apr_status_t rv = apr_shm_create(&memory, sizeof(*logged), NULL, pool);

    if (rv == APR_SUCCESS) {
        logged = apr_shm_baseaddr_get(memory);
        memset(logged, 0, sizeof(*logged));
    }
    memset(&away, 0, sizeof(away));
    return rv;
}

void sf_runner_away_begin(apr_status_t rv)
{
    away.tried = sf_clock_now();
    away.since = away.since ? away.since : away.tried;
    away.reason = rv;
}

void sf_runner_away_end(void)
{
    away.since = 0;
}

int sf_runner_away_for(apr_interval_time_t time)
{
    return away.since && sf_clock_now() > away.since + time;
}

int sf_runner_away_pauses(void)
{
    return away.since && sf_clock_now() < away.tried + PAUSE;
}


/* The log ---------------------------------------------------------------------------------------- */

/* Whether the caller is to log a line: no child has done so for a minute. */
static int claim(volatile apr_uint64_t *last)
{
    const apr_uint64_t now = (apr_uint64_t)sf_clock_now();
    const apr_uint64_t before = apr_atomic_read64(last);

    return (before == 0 || now >= before + INTERVAL)
           && apr_atomic_cas64(last, now, before) == before;
}

void sf_runner_away_by_version(int version)
{
    sf_runner_away_begin(APR_EMISMATCH);
    if (claim(&logged->version)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, ap_server_conf,
                     "SF0083: the runner has version %d of its protocol, and httpd has %d: install "
                     "both from one release",
                     version, SF_PROTOCOL_VERSION);
    }
}

void sf_runner_away_log(const sf_caller *caller)
{
    char reason[120];

    if (away.reason != APR_EMISMATCH && claim(&logged->away)) {
        sf_log(caller, APLOG_ERR, "SF0081",
               "Functions are answered with 503: cannot connect to the runner at %s: %s (is "
               "serverless-runner running, and is httpd's user in its configuration?)",
               sf_config_runner(), apr_strerror(away.reason, reason, sizeof(reason)));
    }
}
