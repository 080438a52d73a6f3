/* A line to an isolate: sends the frame of a call, and receives the frames of its answer. The thread that has
 * the line alone uses it; leases.h says which one that is. */
#ifndef SF_LINE_H
#define SF_LINE_H

#include "core/clock.h"
#include "runtime/protocol/frame.h"

#include <apr_pools.h>

/* Frames up to this size are received without memory of their own. */
#define SF_LINE_BUFFER 8192

typedef struct {
    int descriptor;
    uint32_t call;      /* the number of the last call */
    apr_uint64_t calls; /* of the isolate, as its last IDLE says */
    apr_uint64_t rss;   /* bytes of its memory, as its last IDLE says */
    size_t answer_max;  /* the most bytes of the body of an answer */
    size_t begin;       /* received bytes that were not read yet: from here */
    size_t end;         /* to here */
    apr_pool_t
        *pool; /* of such a frame, where the caller has none for it; NULL before the first one */
    unsigned char *large; /* a frame that the buffer is too small for, or NULL */
    size_t large_size;
    size_t large_received;
    unsigned char buffer[SF_LINE_BUFFER];
} sf_line;

typedef enum {
    SF_LINE_OK,
    SF_LINE_LATE,   /* the deadline has passed */
    SF_LINE_CLOSED, /* the isolate has ended */
    SF_LINE_LONG,   /* the body of the answer is too long */
    SF_LINE_WRONG   /* the isolate has sent something else than a frame of this call */
} sf_line_result;

/* Makes the line of a descriptor. */
void sf_line_make(sf_line *line, int descriptor);

/* Closes the descriptor and frees memory. */
void sf_line_close(sf_line *line);

/* Whether bytes were received that sf_line_next() has not returned yet. */
int sf_line_has_more(const sf_line *line);

/* Whether the line is without unread bytes, and its isolate has not closed it. */
int sf_line_is_quiet(const sf_line *line);

/* The two parts of a CALL's payload. */
typedef struct {
    const char *head;
    size_t head_length;
    const char *body;
    size_t body_length;
} sf_line_call_parts;

/* Begins the next call: sends its frame. With SF_LINE_CLOSED, `*begun` tells whether any byte was sent. */
sf_line_result sf_line_call(sf_line *line, const sf_line_call_parts *parts, apr_time_t deadline,
                            int *begun);

/* Receives the next frame of the call. Without a deadline (0), takes only what has arrived. The payload is
 * valid until the next call of this function; that of a large frame lives as long as `pool`, if it is not
 * NULL. */
sf_line_result sf_line_next(sf_line *line, apr_pool_t *pool, apr_time_t deadline, sf_frame *frame);

/* Whether the payload of a frame is in the line's buffer, which the next frame takes over. */
int sf_line_is_buffered(const sf_line *line, const sf_frame *frame);

/* Takes the figures of an IDLE. Returns SF_LINE_WRONG where they are no JSON object with two numbers, or bytes
 * have arrived behind it. */
sf_line_result sf_line_take_idle(sf_line *line, const sf_frame *frame);

#endif
