/* Sends an Asset. */
#ifndef SF_ASSET_H
#define SF_ASSET_H

#include "runtime/domains/domain.h"

/* Answers with the content of the Asset at the request's path, with its validators, or a part of it, or
 * 304. Returns OK; the status to answer with; or SF_DOMAIN_GONE where the content was deleted. Nothing
 * was sent unless it returns OK. */
int sf_asset_send(sf_domain_request *request);

#endif
