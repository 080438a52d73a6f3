/* A runner that httpd cannot use: since when, and the lines of the error log about that, each once a minute for all
 * children together. The functions without `pool` are called with the mutex of lease_table.h held. */
#ifndef SF_RUNNER_AWAY_H
#define SF_RUNNER_AWAY_H

#include "core/caller.h"

#include <apr_errno.h>

/* Makes the shared memory. Called from post_config. Returns APR_SUCCESS or its error. */
apr_status_t sf_runner_away_post_config(apr_pool_t *pool);

/* Notes that this child could not connect, for the reason `rv`, or that the runner has not greeted it: it is away from
 * now on, if it was not before. */
void sf_runner_away_begin(apr_status_t rv);

/* The same for a runner of another version of the protocol. Logs SF0083. */
void sf_runner_away_by_version(int version);

/* Notes that the runner has greeted this child: it is not away. */
void sf_runner_away_end(void);

/* Whether the runner has been away for longer than `time`. */
int sf_runner_away_for(apr_interval_time_t time);

/* Whether it is too early for another attempt to connect. */
int sf_runner_away_pauses(void);

/* Logs SF0081 with the reason for which the runner is away, unless that is its version. */
void sf_runner_away_log(const sf_caller *caller);

#endif
