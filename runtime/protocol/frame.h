/* Frames on a line, as runtime/README.md describes them: bytes to frames and back. Needs neither httpd nor
 * APR, and allocates nothing. */
#ifndef SF_FRAME_H
#define SF_FRAME_H

#include "runtime/protocol/protocol.h"

#include <stddef.h>
#include <stdint.h>

/* The bytes before a payload. */
#define SF_FRAME_PREFIX (SF_FRAME_LENGTH + SF_FRAME_HEADER)

/* The most bytes of the payloads that an isolate sends. */
#define SF_FRAME_LOG_MAX 262144
#define SF_FRAME_IDLE_MAX 1024
#define SF_FRAME_BAD_REQUEST_MAX 4096

/* The most bytes of the head of an ANSWER, its length included: 15 KB of headers, escaped as JSON. */
#define SF_FRAME_HEAD_MAX 131072

typedef struct {
    sf_frame_type type;
    uint32_t call;
    const unsigned char *payload;
    size_t length; /* of the payload */
} sf_frame;

typedef enum {
    SF_FRAME_WHOLE,
    SF_FRAME_PART, /* further bytes are to come */
    SF_FRAME_LONG, /* an ANSWER with a body that is too long */
    SF_FRAME_WRONG /* no frame that an isolate may send begins like this */
} sf_frame_result;

/* Reads the frame of an isolate at the beginning of `bytes`. `body_max` is the most bytes of the body of an
 * ANSWER. With SF_FRAME_WHOLE, the frame has `*size` bytes, and its payload is in `bytes`. With SF_FRAME_PART,
 * `*size` is 0 where the length has not arrived. A length is wrong as soon as its type is there. */
sf_frame_result sf_frame_read(const unsigned char *bytes, size_t length, size_t body_max,
                              sf_frame *frame, size_t *size);

/* Writes the bytes before a payload of `length` bytes, at most UINT32_MAX - SF_FRAME_HEADER. */
void sf_frame_begin(unsigned char to[SF_FRAME_PREFIX], sf_frame_type type, uint32_t call,
                    size_t length);

/* Writes a big-endian integer. */
void sf_frame_put(unsigned char to[SF_FRAME_LENGTH], uint32_t number);

/* Divides the payload of a CALL or ANSWER into head and body. Returns 0 where the head is longer than the
 * payload. */
int sf_frame_divide(const sf_frame *frame, const char **head, size_t *head_length,
                    const char **body, size_t *body_length);

#endif
