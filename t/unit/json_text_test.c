/* core/json_text.c: texts that are JSON (RFC 8259), texts that are not, and the compact form. */
#include "t/unit/unit.h"

#include "core/json_text.h"

static void accepts_json(void **state)
{
    static const char *const examples[] = {
        "null",
        "true",
        "false",
        "\"\"",
        "[]",
        "{}",
        " \t\r\n[ \t\r\n] \t\r\n",
        "[1,2]",
        "[ 1 , 2 ]",
        "{\"a\":1,\"b\":[{}]}",
        "{ \"a\" : 1 , \"b\" : null }",
        "0",
        "-0",
        "10",
        "1.50",
        "-1.5e3",
        "1E+2",
        "1e-2",
        "0e0",
        "1e999",
        "123456789012345678901234567890",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
        "\"/\x7f\xc3\xa9\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud800\"", /* half a surrogate pair: the grammar has it */
        "\"\\\\u0000\"",
        "{\"a\":1,\"a\":2}", /* names should be unique, and need not */
        "{\"\":0}",
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        unit_number(examples[i], sf_json_is_valid(examples[i]), 1);
    }
}

static void refuses_texts_that_are_not_json(void **state)
{
    static const char *const examples[] = {
        /* nothing, and more than one value */
        "",
        " ",
        "[] []",
        "[]]",
        "1 2",
        "[]x",
        "null,",
        "\xef\xbb\xbf[]",
        /* words of JavaScript and of other formats */
        "Infinity",
        "-Infinity",
        "NaN",
        "-NaN",
        "infinity",
        "nan",
        "undefined",
        "True",
        "NULL",
        "nul",
        "truex",
        "[Infinity]",
        "[-Infinity]",
        "[NaN]",
        "{\"a\":Infinity}",
        /* numbers */
        "-",
        "+1",
        "01",
        "-01",
        "00",
        "1.",
        ".5",
        "1.e2",
        "1e",
        "1e+",
        "0x10",
        "1_000",
        "1,5",
        "- 1",
        "--1",
        "1f",
        /* strings */
        "\"",
        "\"a",
        "'a'",
        "\"\t\"",
        "\"\n\"",
        "\"\r\"",
        "\"\x01\"",
        "\"\x1f\"",
        "\"\\\"",
        "\"\\a\"",
        "\"\\'\"",
        "\"\\x41\"",
        "\"\\0\"",
        "\"\\u\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\U0041\"",
        "\"a\"\"b\"",
        "\"\\\t\"",
        /* NUL */
        "\"\\u0000\"",
        "{\"a\\u0000b\":1}",
        "[\"a\\u0000\"]",
        /* arrays and objects */
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[,]",
        "[1 2]",
        "[1;2]",
        "{",
        "}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,\"a\":1}",
        "{a:1}",
        "{'a':1}",
        "{\"a\" 1}",
        "{\"a\"::1}",
        "{\"a\":1 \"b\":2}",
        "{1:2}",
        "{null:1}",
        "[}",
        "{]",
        "[{]}",
        "{\"a\"=1}",
        /* comments and other white space */
        "/**/[]",
        "[]/**/",
        "[/**/]",
        "[//\n]",
        "[] // x",
        "#\n[]",
        "[\f]",
        "[\v]",
        "[\xc2\xa0]",
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        unit_number(examples[i], sf_json_is_valid(examples[i]), 0);
    }
}

/* A text of so many arrays inside each other. */
static const char *nested(int depth)
{
    char *text = apr_pcalloc(unit_pool, 2 * (size_t)depth + 1);

    memset(text, '[', (size_t)depth);
    memset(text + depth, ']', (size_t)depth);
    return text;
}

static void bounds_the_depth(void **state)
{
    (void)state;
    unit_number("as deep as may be", sf_json_is_valid(nested(SF_JSON_DEPTH_MAX)), 1);
    unit_number("deeper", sf_json_is_valid(nested(SF_JSON_DEPTH_MAX + 1)), 0);
    unit_number("much deeper", sf_json_is_valid(nested(1000000)), 0);
}

static void removes_white_space_outside_of_strings(void **state)
{
    static const struct {
        const char *json;
        const char *compact;
    } examples[] = {
        { "[]", "[]" },
        { " [ ] ", "[]" },
        { "{\"a\" : 1, \"b\" : [\"x\", \n \"y\"]}", "{\"a\":1,\"b\":[\"x\",\"y\"]}" },
        { "{\"a b\" : \" c : d , \\\" e : \\\\\", \"f\" : null}",
          "{\"a b\":\" c : d , \\\" e : \\\\\",\"f\":null}" },
        { "\"\\\\\" ,\t\"\\\\ \"", "\"\\\\\",\"\\\\ \"" },
        { "\"never \\", "\"never \\" },
        { "", "" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        apr_size_t length;
        const char *compact = sf_json_compact(unit_pool, examples[i].json, &length);

        unit_text(examples[i].json, compact, examples[i].compact);
        unit_number(examples[i].json, (apr_int64_t)length, (apr_int64_t)strlen(compact));
    }
}

int unit_json_text(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_json),
        cmocka_unit_test(refuses_texts_that_are_not_json),
        cmocka_unit_test(bounds_the_depth),
        cmocka_unit_test(removes_white_space_outside_of_strings),
    };

    return cmocka_run_group_tests_name("json_text", tests, NULL, NULL);
}
