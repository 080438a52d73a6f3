/* Assets of a domain: the content of a Version as an answer of HTTP. */
#ifndef SF_ASSET_H
#define SF_ASSET_H

#include "runtime/domains/domain.h"

/* In r->notes, for the access log: the origin of the bytes of an Asset, "cache" or "database". */
#define SF_ASSET_SOURCE_NOTE "serverless-asset-source"

/* Answers with the Asset `request->file`: from a file of this machine's cache, else from the database
 * chunk by chunk. Conditions and ranges are httpd's. A POST is answered like a GET without both. The
 * caller has checked that the client may have the Asset. `request` lives as long as its pool: the
 * last bytes are read after this function has returned.
 *
 * Returns OK once an answer was sent, or the status to answer with, and nothing was sent:
 *   412  a condition of the request does not hold
 *   500  the content is damaged
 *   503  the database cannot be reached, or not in time
 *   SF_DOMAIN_GONE  the database no longer has the content
 *   or a status of the request's body */
int sf_asset_send(sf_domain_request *request);

/* Registers the filter that sets Cache-Control. Called when hooks are registered. */
void sf_asset_register(void);

#endif
