#include "runtime/protocol/frame.h"

static uint32_t get(const unsigned char *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

void sf_frame_put(unsigned char to[SF_FRAME_LENGTH], uint32_t number)
{
    to[0] = (unsigned char)(number >> 24);
    to[1] = (unsigned char)(number >> 16);
    to[2] = (unsigned char)(number >> 8);
    to[3] = (unsigned char)number;
}

/* Returns the most bytes of a payload, or -1 for a type that an isolate does not send. */
static int64_t payload_max(unsigned char type, size_t body_max)
{
    switch (type) {
    case SF_FRAME_READY:
        return 0;
    case SF_FRAME_LOG:
        return SF_FRAME_LOG_MAX;
    case SF_FRAME_ANSWER:
        return (int64_t)body_max + SF_FRAME_HEAD_MAX;
    case SF_FRAME_BAD_REQUEST:
        return SF_FRAME_BAD_REQUEST_MAX;
    case SF_FRAME_IDLE:
        return SF_FRAME_IDLE_MAX;
    default:
        return -1;
    }
}

/* Whether a payload may have this many bytes. A LOG has a level, an ANSWER the length of its head. */
static int is_length(unsigned char type, int64_t length, size_t body_max)
{
    const int64_t least = type == SF_FRAME_ANSWER ? SF_FRAME_LENGTH : type == SF_FRAME_LOG ? 1 : 0;

    return length >= least && length <= payload_max(type, body_max);
}

/* Whether a frame of a wrong length is an ANSWER that is too long. */
static int is_long_answer(unsigned char type, uint32_t counted)
{
    return type == SF_FRAME_ANSWER && counted > SF_FRAME_HEAD_MAX;
}

sf_frame_result sf_frame_read(const unsigned char *bytes, size_t length, size_t body_max,
                              sf_frame *frame, size_t *size)
{
    uint32_t counted;

    *size = 0;
    if (length < SF_FRAME_LENGTH) {
        return SF_FRAME_PART;
    }
    counted = get(bytes);
    if (counted < SF_FRAME_HEADER) {
        return SF_FRAME_WRONG;
    }
    if (length == SF_FRAME_LENGTH) {
        return SF_FRAME_PART;
    }
    if (!is_length(bytes[SF_FRAME_LENGTH], (int64_t)counted - SF_FRAME_HEADER, body_max)) {
        return is_long_answer(bytes[SF_FRAME_LENGTH], counted) ? SF_FRAME_LONG : SF_FRAME_WRONG;
    }
    *size = SF_FRAME_LENGTH + (size_t)counted;
    if (length < *size) {
        return SF_FRAME_PART;
    }
    frame->type = bytes[SF_FRAME_LENGTH];
    frame->call = get(bytes + SF_FRAME_LENGTH + 1);
    frame->payload = bytes + SF_FRAME_PREFIX;
    frame->length = counted - SF_FRAME_HEADER;
    return SF_FRAME_WHOLE;
}

void sf_frame_begin(unsigned char to[SF_FRAME_PREFIX], sf_frame_type type, uint32_t call,
                    size_t length)
{
    sf_frame_put(to, (uint32_t)(length + SF_FRAME_HEADER));
    to[SF_FRAME_LENGTH] = (unsigned char)type;
    sf_frame_put(to + SF_FRAME_LENGTH + 1, call);
}

int sf_frame_divide(const sf_frame *frame, const char **head, size_t *head_length,
                    const char **body, size_t *body_length)
{
    uint32_t length;

    if (frame->length < SF_FRAME_LENGTH) {
        return 0;
    }
    length = get(frame->payload);
    if (length > frame->length - SF_FRAME_LENGTH) {
        return 0;
    }
    *head = (const char *)frame->payload + SF_FRAME_LENGTH;
    *head_length = length;
    *body = *head + length;
    *body_length = frame->length - SF_FRAME_LENGTH - length;
    return 1;
}
