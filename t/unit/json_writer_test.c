/* core/json_writer.c: JSON text, piece by piece. */
#include "t/unit/unit.h"

#include "core/json_writer.h"

#include <string.h>

static const char *string_of(const char *string)
{
    sf_json_writer writer;

    sf_json_writer_begin(&writer, unit_pool);
    sf_json_write_string(&writer, string);
    return apr_pstrmemdup(unit_pool, writer.text, writer.length);
}

static void writes_strings(void **state)
{
    static const char *const examples[][2] = {
        { "", "\"\"" },
        { "plain text / ~", "\"plain text / ~\"" },
        { "say \"hi\" \\ bye", "\"say \\\"hi\\\" \\\\ bye\"" },
        { "a\nb\tc\x01\x1f\x7f", "\"a\\u000ab\\u0009c\\u0001\\u001f\x7f\"" },
        { "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80", "\"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\"" },
        { "\xE9t\xE9", "\"\xEF\xBF\xBDt\xEF\xBF\xBD\"" },
        { "\xC0\xAF", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"" },
        { "\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"" },
        { "\xF0\x9F\x98", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"" },
        { "\xE2\x82", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"" },
        { NULL, "null" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        unit_text(examples[i][0], string_of(examples[i][0]), examples[i][1]);
    }
}

static void grows(void **state)
{
    sf_json_writer writer;
    int i;

    (void)state;
    sf_json_writer_begin(&writer, unit_pool);
    for (i = 0; i < 5000; i++) {
        sf_json_write_text(&writer, i % 2 ? "," : "[");
        sf_json_write_string(&writer, "\x01");
    }
    unit_number("length", (apr_int64_t)writer.length, 5000 * 9);
    for (i = 0; i < 5000; i++) {
        assert_memory_equal(writer.text + i * 9, i % 2 ? ",\"\\u0001\"" : "[\"\\u0001\"", 9);
    }
}

int unit_json_writer(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(writes_strings), cmocka_unit_test(grows) };

    return cmocka_run_group_tests_name("json_writer", tests, NULL, NULL);
}
