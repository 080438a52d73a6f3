/* core/sid.c: SIDs and UniqueNames. */
#include "t/unit/unit.h"

#include "core/sid.h"

#define DIGITS "0123456789abcdef0123456789abcdef"
#define UUID "01234567-89ab-cdef-0123-456789abcdef"

static void reads_a_sid_of_its_prefix(void **state)
{
    char digits[SF_SID_DIGITS + 1];

    (void)state;
    assert_true(sf_sid_parse("ZH" DIGITS, "ZH", digits));
    assert_string_equal(digits, DIGITS);
    assert_true(sf_sid_parse("ZH0123456789ABCDEF0123456789abcdef", "ZH", digits));
    assert_string_equal(digits, DIGITS);
}

static void refuses_anything_else_as_a_sid(void **state)
{
    static const char *const texts[] = {
        "",
        "Z",
        "ZH",
        "ZN" DIGITS,
        "zh" DIGITS,
        DIGITS,
        "ZH" DIGITS "0",
        "ZH0123456789abcdef0123456789abcde",
        "ZH0123456789abcdef0123456789abcdeg",
        "ZH 123456789abcdef0123456789abcdef",
        "ZH" UUID,
    };
    char digits[SF_SID_DIGITS + 1];
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(texts); i++) {
        unit_number(texts[i], sf_sid_parse(texts[i], "ZH", digits), 0);
    }
}

static void writes_a_sid_of_a_uuid(void **state)
{
    char sid[SF_SID_LENGTH + 1];

    (void)state;
    assert_ptr_equal(sf_sid_write(sid, "ZS", UUID), sid + SF_SID_LENGTH);
    assert_string_equal(sid, "ZS" DIGITS);
    assert_ptr_equal(sf_sid_write(sid, "ZS", DIGITS), sid + SF_SID_LENGTH);
    assert_string_equal(sid, "ZS" DIGITS);
}

static void writes_the_prefix_alone_of_anything_else(void **state)
{
    char sid[SF_SID_LENGTH + 1];

    (void)state;
    assert_ptr_equal(sf_sid_write(sid, "ZS", ""), sid + SF_SID_PREFIX);
    assert_string_equal(sid, "ZS");
    sf_sid_write(sid, "ZS", UUID "0");
    assert_string_equal(sid, "ZS");
}

static void knows_unique_names(void **state)
{
    static const char *const good[] = { "a", "7", "my-service", "My_Service.2", "a..b", "ends-" };
    static const char *const bad[]
        = { "", "-a", "_a", ".a", "a b", "a/b", "a%", "\xC3\xA9", "a\n" };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(good); i++) {
        unit_number(good[i], sf_unique_name_is_valid(good[i]), 1);
    }
    for (i = 0; i < UNIT_COUNT(bad); i++) {
        unit_number(bad[i], sf_unique_name_is_valid(bad[i]), 0);
    }
}

int unit_sid(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_sid_of_its_prefix),
        cmocka_unit_test(refuses_anything_else_as_a_sid),
        cmocka_unit_test(writes_a_sid_of_a_uuid),
        cmocka_unit_test(writes_the_prefix_alone_of_anything_else),
        cmocka_unit_test(knows_unique_names),
    };

    return cmocka_run_group_tests_name("sid", tests, NULL, NULL);
}
