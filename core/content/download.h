/* Stored content on its way to a client: chunk by chunk, as fast as the client reads. */
#ifndef SF_DOWNLOAD_H
#define SF_DOWNLOAD_H

#include "core/http/request.h"

/* Answers with the bytes of the Version that the request names, of their own type, with ETag (their
 * hash) and Last-Modified; httpd's own filters make ranges of it. 304 and 412 where the request has
 * such conditions. Returns NULL, or the error to answer with. Bytes that cannot be read any more once
 * the answer has begun (the database is down, the Version deleted) end the connection before the
 * announced length, which clients notice. */
const sf_error *sf_content_send(sf_request *request);

#endif
