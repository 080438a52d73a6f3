/* Sends a Build to a runner that does not have it. */
#ifndef SF_BUILD_STREAM_H
#define SF_BUILD_STREAM_H

#include "runtime/domains/domain.h"
#include "runtime/protocol/runner_link.h"

/* Reads the Functions and the private Assets of the request's Build from the database, and sends them for a lease,
 * with the manifest. Otherwise sends ABANDON.
 *
 * Returns OK; SF_DOMAIN_GONE where content was deleted; or HTTP_SERVICE_UNAVAILABLE where the database does not
 * answer, or the runner does not read, which has been logged. */
int sf_build_stream_send(const sf_domain_request *request, sf_runner_link *runner, uint32_t lease);

#endif
