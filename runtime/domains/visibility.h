/* The visibility of a Version: whether a request may have it. */
#ifndef SF_VISIBILITY_H
#define SF_VISIBILITY_H

#include "runtime/domains/domain.h"

/* Checks a request for a file of a Build. Every request may have a public file, and none a private one: 404, as for a
 * path that does not exist. A protected one needs a valid X-Twilio-Signature (docs/execution.md).
 *
 * Returns OK, or the status to answer with: 404; 403 without a valid signature; 400 for a form that is
 * malformed; 413 for a body or form that is too large; 408 and 400 for one that comes too slowly or breaks
 * off; 503 and 500 where database or OpenSSL fail. A body that has been read is in the request. */
int sf_visibility_check(sf_domain_request *request);

#endif
