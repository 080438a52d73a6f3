/* runtime/protocol/frame.c: frames on a line. */
#include "t/unit/unit.h"

#include "runtime/protocol/frame.h"

#include <stdlib.h>
#include <string.h>

#define BODY_MAX 100

/* Returns "whole TYPE CALL LENGTH SIZE", "part SIZE" or "wrong" for the bytes, which are in memory of their own,
 * so that a sanitizer notices a read behind their end. */
static const char *reading_of(const char *bytes, size_t length)
{
    unsigned char *copy = malloc(length + !length);
    const char *found = "wrong";
    sf_frame frame;
    size_t size;

    memcpy(copy, bytes, length);
    switch (sf_frame_read(copy, length, BODY_MAX, &frame, &size)) {
    case SF_FRAME_WHOLE:
        found = apr_psprintf(unit_pool, "whole %d %u %d %d", frame.type, frame.call,
                             (int)frame.length, (int)size);
        break;
    case SF_FRAME_PART:
        found = apr_psprintf(unit_pool, "part %d", (int)size);
        break;
    case SF_FRAME_LONG:
        found = "long";
        break;
    case SF_FRAME_WRONG:
        break;
    }
    free(copy);
    return found;
}

#define BYTES(text) (text), sizeof(text) - 1

static void reads_frames(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
        const char *expected;
    } examples[] = {
        { BYTES(""), "part 0" },
        { BYTES("\0\0\0"), "part 0" },
        { BYTES("\0\0\0\5"), "part 0" },
        { BYTES("\0\0\0\5\2\0\0\0\0"), "whole 2 0 0 9" },
        { BYTES("\0\0\0\5\2\0\0\0\0\0\0\0"), "whole 2 0 0 9" },
        { BYTES("\0\0\0\7\6\1\2\3\4{}"), "whole 6 16909060 2 11" },
        { BYTES("\0\0\0\7\6\1\2\3\4{"), "part 11" },
        { BYTES("\0\0\0\7\6"), "part 11" },
        { BYTES("\0\0\0\4"), "wrong" }, /* shorter than type and call */
        { BYTES("\0\0\0\0"), "wrong" },
        { BYTES("\0\0\0\6\2"), "wrong" },   /* READY has no payload */
        { BYTES("\0\0\0\5\3"), "wrong" },   /* LOG has a level */
        { BYTES("\0\0\0\6\3"), "part 10" }, /* and may have no text */
        { BYTES("\0\0\0\10\4"), "wrong" },  /* ANSWER has the length of its head */
        { BYTES("\0\0\0\11\4"), "part 13" },
        { BYTES("\0\0\0\5\1"), "wrong" }, /* CALL comes from httpd */
        { BYTES("\0\0\0\5\0"), "wrong" }, /* unknown types */
        { BYTES("\0\0\0\5\7"), "wrong" },
        { BYTES("\0\0\0\5\377"), "wrong" },
        { BYTES("\377\377\377\377\4"), "long" },  /* above the limits */
        { BYTES("\0\2\0\151\4"), "part 131181" }, /* SF_FRAME_HEAD_MAX, BODY_MAX, 5 and 4 */
        { BYTES("\0\2\0\152\4"), "long" },
        { BYTES("\0\4\0\5\3"), "part 262153" },
        { BYTES("\0\4\0\6\3"), "wrong" },
        { BYTES("\0\0\20\5\5"), "part 4105" },
        { BYTES("\0\0\20\6\5"), "wrong" },
        { BYTES("\0\0\4\5\6"), "part 1033" },
        { BYTES("\0\0\4\6\6"), "wrong" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        unit_text(apr_psprintf(unit_pool, "example %d", (int)i),
                  reading_of(examples[i].bytes, examples[i].length), examples[i].expected);
    }
}

static void writes_what_it_reads(void **state)
{
    unsigned char bytes[SF_FRAME_PREFIX + 3];

    (void)state;
    sf_frame_begin(bytes, SF_FRAME_IDLE, 4000000000U, 3);
    memcpy(bytes + SF_FRAME_PREFIX, "abc", 3);
    unit_text("IDLE", reading_of((const char *)bytes, sizeof(bytes)), "whole 6 4000000000 3 12");
}

/* Returns "head|body", or "wrong". */
static const char *parts_of(const char *payload, size_t length)
{
    const sf_frame frame = { SF_FRAME_ANSWER, 1, (const unsigned char *)payload, length };
    const char *head;
    const char *body;
    size_t head_length;
    size_t body_length;

    if (!sf_frame_divide(&frame, &head, &head_length, &body, &body_length)) {
        return "wrong";
    }
    return apr_psprintf(unit_pool, "%.*s|%.*s", (int)head_length, head, (int)body_length, body);
}

static void divides_head_and_body(void **state)
{
    (void)state;
    unit_text("both", parts_of(BYTES("\0\0\0\2{}body")), "{}|body");
    unit_text("no body", parts_of(BYTES("\0\0\0\2{}")), "{}|");
    unit_text("no head", parts_of(BYTES("\0\0\0\0body")), "|body");
    unit_text("nothing", parts_of(BYTES("\0\0\0\0")), "|");
    unit_text("no length", parts_of(BYTES("\0\0\0")), "wrong");
    unit_text("a head that is too long", parts_of(BYTES("\0\0\0\3{}")), "wrong");
    unit_text("a head of 4 GB", parts_of(BYTES("\377\377\377\377{}")), "wrong");
}

int unit_frame(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_frames),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(divides_head_and_body),
    };

    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
