/* A call: a request to the path of a Function, executed by an isolate. */
#ifndef SF_CALL_H
#define SF_CALL_H

#include "runtime/domains/domain.h"

/* Calls the request's Function, and sends its answer. Sets the notes for the access log. Returns OK once an answer
 * was sent, or the status of an error; docs/execution.md has them. SF_DOMAIN_GONE says that content of the Build was
 * deleted. A call that an isolate may have begun is never repeated. */
int sf_call_run(sf_domain_request *request);

#endif
