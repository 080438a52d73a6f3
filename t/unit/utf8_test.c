/* core/utf8.c: text from outside is UTF-8 or refused. */
#include "t/unit/unit.h"

#include "core/utf8.h"

static void counts_characters(void **state)
{
    static const struct {
        const char *text;
        int length;
    } examples[] = {
        { "", 0 },
        { "abc", 3 },
        { "\x01\x7F", 2 },
        { "\xC2\x80", 1 },         /* U+0080, the first of two bytes */
        { "\xDF\xBF", 1 },         /* U+07FF */
        { "\xE0\xA0\x80", 1 },     /* U+0800, the first of three */
        { "\xED\x9F\xBF", 1 },     /* U+D7FF, the last before the surrogates */
        { "\xEE\x80\x80", 1 },     /* U+E000, the first after them */
        { "\xEF\xBF\xBF", 1 },     /* U+FFFF */
        { "\xF0\x90\x80\x80", 1 }, /* U+10000, the first of four */
        { "\xF4\x8F\xBF\xBF", 1 }, /* U+10FFFF, the last of all */
        { "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z", 5 },
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        unit_number(examples[i].text, sf_utf8_length(examples[i].text), examples[i].length);
    }
}

static void refuses_malformed_text(void **state)
{
    static const char *const texts[] = {
        "\x80",             /* a continuation byte first */
        "\xC0\x80",         /* overlong U+0000 */
        "\xC1\xBF",         /* overlong U+007F */
        "\xE0\x9F\xBF",     /* overlong U+07FF */
        "\xF0\x8F\xBF\xBF", /* overlong U+FFFF */
        "\xED\xA0\x80",     /* U+D800, a surrogate */
        "\xED\xBF\xBF",     /* U+DFFF */
        "\xF4\x90\x80\x80", /* U+110000 */
        "\xF5\x80\x80\x80",
        "\xFF",
        "\xC3",             /* cut off */
        "\xE2\x82",         /* cut off */
        "\xF0\x9F\x98",     /* cut off */
        "\xC3z",            /* an ASCII byte inside a character */
        "\xE2\x82\xC3\xA9", /* a lead byte inside a character */
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(texts); i++) {
        unit_number(texts[i], sf_utf8_length(texts[i]), -1);
    }
}

static void refuses_nul(void **state)
{
    sf_utf8 check = { 0 };

    (void)state;
    assert_false(sf_utf8_feed(&check, "a\0b", 3));
}

static void goes_on_from_piece_to_piece(void **state)
{
    static const char text[] = "\xF0\x9F\x98\x80!";
    sf_utf8 check = { 0 };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(text) - 1; i++) {
        assert_true(sf_utf8_feed(&check, text + i, 1));
        assert_int_equal(sf_utf8_is_whole(&check), i >= 3);
    }
    assert_int_equal(check.length, 2);
}

int unit_utf8(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_characters),
        cmocka_unit_test(refuses_malformed_text),
        cmocka_unit_test(refuses_nul),
        cmocka_unit_test(goes_on_from_piece_to_piece),
    };

    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
