#include "runtime/domains/line.h"

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

void sf_line_make(sf_line *line, int descriptor)
{
    memset(line, 0, offsetof(sf_line, buffer));
    line->descriptor = descriptor;
}

void sf_line_close(sf_line *line)
{
    close(line->descriptor);
    if (line->pool) {
        apr_pool_destroy(line->pool);
    }
}

int sf_line_is_quiet(const sf_line *line)
{
    char byte;
    ssize_t size;

    if (line->end > line->begin || line->large) {
        return 0;
    }
    do {
        size = recv(line->descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    } while (size < 0 && errno == EINTR);
    return size < 0 && errno == EAGAIN;
}

int sf_line_has_more(const sf_line *line)
{
    return line->end > line->begin;
}

/* Waits until the line is ready. */
static sf_line_result wait_for(const sf_line *line, short events, apr_time_t deadline)
{
    struct pollfd polled = { line->descriptor, events, 0 };
    int ready;

    do {
        const apr_time_t left = deadline - sf_clock_now();

        if (left <= 0) {
            return SF_LINE_LATE;
        }
        ready = poll(&polled, 1, (int)((left + 999) / 1000));
    } while (ready == 0 || (ready < 0 && errno == EINTR));
    return ready > 0 ? SF_LINE_OK : SF_LINE_CLOSED;
}


/* Sending ---------------------------------------------------------------------------------------- */

/* Moves the pieces behind `size` bytes that were sent. Returns whether bytes are left. */
static int advance(struct msghdr *message, size_t size)
{
    while (message->msg_iovlen > 0 && size >= message->msg_iov->iov_len) {
        size -= message->msg_iov->iov_len;
        message->msg_iov++;
        message->msg_iovlen--;
    }
    if (message->msg_iovlen > 0) {
        message->msg_iov->iov_base = (char *)message->msg_iov->iov_base + size;
        message->msg_iov->iov_len -= size;
    }
    return message->msg_iovlen > 0;
}

static sf_line_result send_pieces(const sf_line *line, struct msghdr *message, apr_time_t deadline,
                                  int *begun)
{
    sf_line_result result = SF_LINE_OK;
    ssize_t size;

    *begun = 0;
    do {
        size = sendmsg(line->descriptor, message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size > 0) {
            *begun = 1;
        }
        else if (size < 0 && errno == EAGAIN) {
            result = wait_for(line, POLLOUT, deadline);
            size = 0;
        }
        else if (size < 0 && errno == EINTR) {
            size = 0;
        }
        else if (size < 0) {
            result = SF_LINE_CLOSED;
        }
    } while (result == SF_LINE_OK && advance(message, (size_t)size));
    return result;
}

sf_line_result sf_line_call(sf_line *line, const sf_line_call_parts *parts, apr_time_t deadline,
                            int *begun)
{
    unsigned char prefix[SF_FRAME_PREFIX + SF_FRAME_LENGTH];
    struct iovec pieces[] = { { prefix, sizeof(prefix) },
                              { (void *)parts->head, parts->head_length },
                              { (void *)parts->body, parts->body_length } };
    struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 3 };

    line->call = line->call == UINT32_MAX ? 1 : line->call + 1;
    sf_frame_begin(prefix, SF_FRAME_CALL, line->call,
                   SF_FRAME_LENGTH + parts->head_length + parts->body_length);
    sf_frame_put(prefix + SF_FRAME_PREFIX, (uint32_t)parts->head_length);
    return send_pieces(line, &message, deadline, begun);
}


/* Receiving -------------------------------------------------------------------------------------- */

/* Receives bytes to `to`. */
static sf_line_result receive(const sf_line *line, unsigned char *to, size_t room,
                              apr_time_t deadline, size_t *received)
{
    sf_line_result result = deadline ? wait_for(line, POLLIN, deadline) : SF_LINE_OK;
    ssize_t size;

    if (result != SF_LINE_OK) {
        return result;
    }
    do {
        size = recv(line->descriptor, to, room, MSG_DONTWAIT);
    } while (size < 0 && errno == EINTR);
    if (size > 0) {
        *received = (size_t)size;
        return SF_LINE_OK;
    }
    return size < 0 && errno == EAGAIN ? SF_LINE_LATE : SF_LINE_CLOSED;
}

/* Returns the line's own pool, which is empty. */
static apr_pool_t *own_pool(sf_line *line)
{
    if (line->pool) {
        apr_pool_clear(line->pool);
    }
    else {
        apr_pool_create_unmanaged_ex(&line->pool, NULL, NULL);
    }
    return line->pool;
}

/* Moves the frame that has begun to memory of its own. */
static void begin_large(sf_line *line, apr_pool_t *pool, size_t size)
{
    line->large = apr_palloc(pool ? pool : own_pool(line), size);
    line->large_size = size;
    line->large_received = line->end - line->begin;
    memcpy(line->large, line->buffer + line->begin, line->large_received);
    line->begin = line->end = 0;
}

/* Receives the rest of a large frame. */
static sf_line_result next_large(sf_line *line, apr_time_t deadline, sf_frame *frame)
{
    sf_line_result result = SF_LINE_OK;
    size_t size;

    while (result == SF_LINE_OK && line->large_received < line->large_size) {
        result = receive(line, line->large + line->large_received,
                         line->large_size - line->large_received, deadline, &size);
        if (result == SF_LINE_OK) {
            line->large_received += size;
        }
    }
    if (result == SF_LINE_OK) {
        sf_frame_read(line->large, line->large_size, line->answer_max, frame, &size);
        line->large = NULL;
    }
    return result;
}

/* Receives further bytes into the buffer. A frame of `size` bytes, or of an unknown size, has begun in it. */
static sf_line_result receive_more(sf_line *line, apr_time_t deadline)
{
    sf_line_result result;
    size_t size;

    if (line->begin > 0) {
        memmove(line->buffer, line->buffer + line->begin, line->end - line->begin);
        line->end -= line->begin;
        line->begin = 0;
    }
    result = receive(line, line->buffer + line->end, sizeof(line->buffer) - line->end, deadline,
                     &size);
    if (result == SF_LINE_OK) {
        line->end += size;
    }
    return result;
}

static sf_line_result next_frame(sf_line *line, apr_pool_t *pool, apr_time_t deadline,
                                 sf_frame *frame)
{
    sf_line_result result = SF_LINE_OK;
    size_t size;

    if (line->large) {
        return next_large(line, deadline, frame);
    }
    while (result == SF_LINE_OK) {
        switch (sf_frame_read(line->buffer + line->begin, line->end - line->begin, line->answer_max,
                              frame, &size)) {
        case SF_FRAME_WHOLE:
            line->begin += size;
            return SF_LINE_OK;
        case SF_FRAME_LONG:
            return SF_LINE_LONG;
        case SF_FRAME_WRONG:
            return SF_LINE_WRONG;
        case SF_FRAME_PART:
            if (size > sizeof(line->buffer)) {
                begin_large(line, pool, size);
                return next_large(line, deadline, frame);
            }
            result = receive_more(line, deadline);
        }
    }
    return result;
}

sf_line_result sf_line_next(sf_line *line, apr_pool_t *pool, apr_time_t deadline, sf_frame *frame)
{
    const sf_line_result result = next_frame(line, pool, deadline, frame);

    return result == SF_LINE_OK && (frame->call != line->call || frame->type == SF_FRAME_READY)
               ? SF_LINE_WRONG
               : result;
}

int sf_line_is_buffered(const sf_line *line, const sf_frame *frame)
{
    return frame->payload >= line->buffer && frame->payload <= line->buffer + sizeof(line->buffer);
}


/* IDLE ------------------------------------------------------------------------------------------- */

/* Returns the JSON of a frame's payload, or NULL. */
static json_object *parse(const sf_frame *frame)
{
    json_tokener *tokener = json_tokener_new_ex(2);
    json_object *value
        = json_tokener_parse_ex(tokener, (const char *)frame->payload, (int)frame->length);

    if (json_tokener_get_error(tokener) != json_tokener_success
        || json_tokener_get_parse_end(tokener) != frame->length) {
        json_object_put(value);
        value = NULL;
    }
    json_tokener_free(tokener);
    return value;
}

/* Takes a number from 0 of an object. */
static int take_number(json_object *object, const char *name, apr_uint64_t *number)
{
    json_object *value;

    if (!json_object_object_get_ex(object, name, &value)
        || !json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0) {
        return 0;
    }
    *number = (apr_uint64_t)json_object_get_int64(value);
    return 1;
}

sf_line_result sf_line_take_idle(sf_line *line, const sf_frame *frame)
{
    json_object *figures = parse(frame);
    const int taken = json_object_is_type(figures, json_type_object)
                      && take_number(figures, "rss", &line->rss)
                      && take_number(figures, "calls", &line->calls);

    json_object_put(figures);
    return taken && line->begin == line->end ? SF_LINE_OK : SF_LINE_WRONG;
}
