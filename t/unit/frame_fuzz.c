/* Feeds runtime/protocol/frame.c with bytes at random and with frames that were changed, and checks what must hold
 * of any:
 *
 *   - a frame that is written is read back, to the byte;
 *   - bytes that are cut off anywhere are a part of the same frame, never another one;
 *   - a frame has a type of an isolate, and a payload within its limit and within the bytes.
 *
 * t/frame_fuzz.t compiles it with the address and undefined behaviour sanitizers and runs it:
 *
 *   frame_fuzz FIRST_SEED SEEDS */
#include "runtime/protocol/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX 1000
#define BYTES_MAX (SF_FRAME_PREFIX + BODY_MAX + SF_FRAME_HEAD_MAX + 1)

static uint64_t seed;
static uint64_t state;

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "seed %llu: line %d: %s\n", (unsigned long long)seed, __LINE__,        \
                    #condition);                                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static uint64_t any(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545F4914F6CDD1DULL;
}

static size_t below(size_t limit)
{
    return (size_t)((any() >> 16) % limit);
}

static size_t payload_max(unsigned type)
{
    switch (type) {
    case SF_FRAME_LOG:
        return SF_FRAME_LOG_MAX;
    case SF_FRAME_ANSWER:
        return BODY_MAX + SF_FRAME_HEAD_MAX;
    case SF_FRAME_BAD_REQUEST:
        return SF_FRAME_BAD_REQUEST_MAX;
    case SF_FRAME_IDLE:
        return SF_FRAME_IDLE_MAX;
    default:
        return 0;
    }
}

/* Reads the bytes from memory of their own, so that the sanitizer notices a read behind their end. */
static sf_frame_result read_copy(const unsigned char *bytes, size_t length, sf_frame *frame,
                                 size_t *size)
{
    unsigned char *copy = malloc(length + !length);
    sf_frame_result result;
    const char *parts[2];
    size_t lengths[2];

    memcpy(copy, bytes, length);
    result = sf_frame_read(copy, length, BODY_MAX, frame, size);
    if (result == SF_FRAME_WHOLE) {
        REQUIRE(frame->type >= SF_FRAME_READY && frame->type <= SF_FRAME_IDLE);
        REQUIRE(frame->payload == copy + SF_FRAME_PREFIX);
        REQUIRE(*size == SF_FRAME_PREFIX + frame->length && *size <= length);
        REQUIRE(frame->length <= payload_max(frame->type));
        if (sf_frame_divide(frame, &parts[0], &lengths[0], &parts[1], &lengths[1])) {
            REQUIRE(lengths[0] + lengths[1] + SF_FRAME_LENGTH == frame->length);
            REQUIRE((const unsigned char *)parts[1] + lengths[1] == frame->payload + frame->length);
        }
    }
    free(copy);
    return result;
}

/* Makes a frame. Returns its size. */
static size_t make_frame(unsigned char bytes[BYTES_MAX])
{
    static const sf_frame_type types[]
        = { SF_FRAME_READY, SF_FRAME_LOG, SF_FRAME_ANSWER, SF_FRAME_BAD_REQUEST, SF_FRAME_IDLE };
    const sf_frame_type type = types[below(5)];
    const size_t least = type == SF_FRAME_ANSWER ? 4 : type == SF_FRAME_LOG;
    size_t length = least + below(below(10) ? 200 : 5000);
    size_t i;

    length = length > payload_max(type) ? payload_max(type) : length;
    sf_frame_begin(bytes, type, (uint32_t)any(), length);
    for (i = 0; i < length; i++) {
        bytes[SF_FRAME_PREFIX + i] = (unsigned char)(i < 3 ? below(2) : any());
    }
    return SF_FRAME_PREFIX + length;
}

static void check_frame(const unsigned char *bytes, size_t length)
{
    const size_t cut = below(length);
    sf_frame frame;
    size_t size;

    REQUIRE(read_copy(bytes, length, &frame, &size) == SF_FRAME_WHOLE);
    REQUIRE(size == length && frame.type == bytes[SF_FRAME_LENGTH]);
    REQUIRE(read_copy(bytes, cut, &frame, &size) == SF_FRAME_PART);
    REQUIRE(size == 0 || size == length);
}

static int run(void)
{
    static unsigned char bytes[BYTES_MAX];
    size_t length = make_frame(bytes);
    size_t changes = 1 + below(3);
    sf_frame frame;
    size_t size;

    check_frame(bytes, length);
    while (changes-- > 0) {
        bytes[below(below(3) ? SF_FRAME_PREFIX : length)]
            = (unsigned char)(below(2) ? below(8) : any());
    }
    return read_copy(bytes, below(4) ? length : below(length + 1), &frame, &size) == SF_FRAME_WHOLE;
}

int main(int count, char **arguments)
{
    const unsigned long first = count > 1 ? strtoul(arguments[1], NULL, 10) : 1;
    const unsigned long seeds = count > 2 ? strtoul(arguments[2], NULL, 10) : 1;
    unsigned long whole = 0;
    unsigned long i;

    for (i = 0; i < seeds; i++) {
        seed = first + i;
        state = (seed + 1) * 0x9E3779B97F4A7C15ULL;
        any();
        whole += (unsigned long)run();
    }
    printf("%lu frames, %lu of them whole after the changes\n", seeds, whole);
    return 0;
}
