/* The download of an Asset's content: chunk by chunk, as fast as the client reads. */
#ifndef SF_DOWNLOAD_H
#define SF_DOWNLOAD_H

#include "core/http/request.h"

/* Answers with the bytes of the Version that the path names, with their own content type, ETag
 * (their hash) and Last-Modified. httpd's filters make ranges of them. 304 or 412 where a
 * condition of the request says so. Returns NULL, or the error to answer with.
 *
 * Bytes that cannot be read once the response has begun (the database is down, the Version is
 * deleted) end the connection before the announced length. */
const sf_error *sf_content_send(sf_request *request);

#endif
