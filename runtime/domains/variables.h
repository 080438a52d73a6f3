/* The secrets of a call: its Environment's Variables, and the credentials that a Function sees. */
#ifndef SF_VARIABLES_H
#define SF_VARIABLES_H

#include "core/json_writer.h"
#include "runtime/domains/domain.h"

/* Makes this child's cache. Called from child_init. Returns APR_SUCCESS or the error of a pool or mutex. */
apr_status_t sf_variables_init(apr_pool_t *pool);

/* Writes the members "account", "token" and "variables" of the head of a CALL. They are decrypted once for each
 * context tag, and kept in this child. The caller wipes the writer's text.
 *
 * Returns OK, or HTTP_SERVICE_UNAVAILABLE where the database does not answer, or a Variable cannot be decrypted,
 * which has been logged. */
int sf_variables_write(const sf_domain_request *request, sf_json_writer *writer);

#endif
