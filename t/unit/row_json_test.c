/* core/api/row_json.c: rows of a result set as JSON. The rows are made with libpq, without a database. */
#include "t/unit/unit.h"

#include "core/api/row_json.h"
#include "core/db/result.h"

#define UUID_1 "01234567-89ab-cdef-0123-456789abcdef"
#define UUID_2 "00000000-0000-0000-0000-00000000000a"
#define DIGITS_1 "0123456789abcdef0123456789abcdef"
#define DIGITS_2 "0000000000000000000000000000000a"

static const sf_property properties[] = {
    { "sid", SF_JSON_SID, "ZH" },
    { "account_sid", SF_JSON_SID, "AC" },
    { "service_sid", SF_JSON_SID, "ZS" },
    { "name", SF_JSON_TEXT, NULL },
    { "enabled", SF_JSON_FLAG, NULL },
    { "date_created", SF_JSON_DATE, NULL },
    { "parts", SF_JSON_RAW, NULL },
    { "domain_name", SF_JSON_HOST, NULL },
    { "url", SF_JSON_URL, NULL },
    { "versions", SF_JSON_LINK, "/Versions" },
    { .name = NULL },
};

static const sf_resource resource = {
    .key = "things",
    .pattern = "/Services/{ZS}/Things/{ZH}",
    .properties = properties,
};

#define COLUMNS 9 /* an outcome, and those of the properties that have one */

typedef const char *row_values[COLUMNS];

static sf_rows *make_rows(const row_values *rows, int count)
{
    static const sf_db_state state;
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc columns[COLUMNS] = { { .name = NULL } };
    int row;
    int i;

    for (i = 0; i < COLUMNS; i++) {
        columns[i].name = "column";
    }
    assert_true(PQsetResultAttrs(result, COLUMNS, columns));
    for (row = 0; row < count; row++) {
        for (i = 0; i < COLUMNS; i++) {
            const char *text = rows[row][i];

            assert_true(PQsetvalue(result, row, i, (char *)text, text ? (int)strlen(text) : -1));
        }
    }
    return sf_rows_of_libpq(unit_pool, result, &state);
}

static sf_row_json *serialiser_of(const char *base_url)
{
    sf_dir_config *config;
    sf_request *request = sf_request_of(unit_request(NULL, &config));

    config->base_url = base_url;
    config->domain = "example.io";
    request->prefix = "/v1";
    request->resource = &resource;
    return sf_row_json_acquire(request);
}

/* The JSON of each row. */
static void check(const row_values *rows, int count, const char *const *expected)
{
    sf_row_json *serialiser = serialiser_of("https://api.example.com");
    sf_rows *set = make_rows(rows, count);
    int row;

    for (row = 0; row < count; row++) {
        apr_size_t length;
        const char *json = sf_row_json_write(serialiser, set, row, &length);

        json = apr_pstrmemdup(unit_pool, json, length);
        unit_text(apr_psprintf(unit_pool, "row %d", row), json, expected[row]);
    }
    sf_row_json_release(serialiser);
}

#define HEAD                                                                                       \
    "{\"sid\":\"ZH" DIGITS_1 "\",\"account_sid\":\"AC" DIGITS_1 "\",\"service_sid\":\"ZS" DIGITS_2 \
    "\","
#define ADDRESS "https://api.example.com/v1/Services/ZS" DIGITS_2 "/Things/ZH" DIGITS_1
#define TAIL "\"url\":\"" ADDRESS "\",\"links\":{\"versions\":\"" ADDRESS "/Versions\"}}"

static void writes_each_kind_of_property(void **state)
{
    static const row_values rows[] = {
        { "ok", UUID_1, UUID_1, UUID_2, "A name", "t", "1541880000123456", "[{\"a\":1}]",
          "shop-1" },
    };
    static const char *const expected[] = {
        HEAD "\"name\":\"A name\",\"enabled\":true,\"date_created\":\"2018-11-10T20:00:00Z\","
             "\"parts\":[{\"a\":1}],\"domain_name\":\"shop-1.example.io\"," TAIL,
    };

    (void)state;
    check(rows, UNIT_COUNT(rows), expected);
}

static void writes_null(void **state)
{
    static const row_values rows[]
        = { { "ok", UUID_1, UUID_1, UUID_2, NULL, NULL, NULL, NULL, NULL } };
    static const char *const expected[] = {
        HEAD "\"name\":null,\"enabled\":null,\"date_created\":null,\"parts\":null,\"domain_name\":"
             "null," TAIL,
    };

    (void)state;
    check(rows, UNIT_COUNT(rows), expected);
}

static void escapes_text(void **state)
{
    static const row_values rows[] = {
        { "ok", UUID_1, UUID_1, UUID_2, "\"\\\b\f\n\r\t\x01\x1F", "f", "0", "1", "h" },
        { "ok", UUID_1, UUID_1, UUID_2, "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80", "f", "0", "1",
          "h" },
        { "ok", UUID_1, UUID_1, UUID_2, "", "f", "0", "1", "h" },
    };
#define REST                                                                                       \
    "\"enabled\":false,\"date_created\":\"1970-01-01T00:00:00Z\",\"parts\":1,\"domain_name\":\"h." \
    "example.io\"," TAIL
    static const char *const expected[] = {
        HEAD "\"name\":\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\"," REST,
        HEAD "\"name\":\"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\"," REST,
        HEAD "\"name\":\"\"," REST,
    };

    (void)state;
    check(rows, UNIT_COUNT(rows), expected);
}

/* A value of one row must not show in the next: NULL after a text, a short text after a long one. */
static void rows_are_independent(void **state)
{
    static const row_values rows[] = {
        { "ok", UUID_1, UUID_1, UUID_2, "a long name", "f", "0", "1", "h" },
        { "ok", UUID_1, UUID_1, UUID_2, NULL, "f", "0", "1", "h" },
        { "ok", UUID_1, UUID_1, UUID_2, "b", "f", "0", "1", "h" },
    };
    static const char *const expected[] = {
        HEAD "\"name\":\"a long name\"," REST,
        HEAD "\"name\":null," REST,
        HEAD "\"name\":\"b\"," REST,
    };

    (void)state;
    check(rows, UNIT_COUNT(rows), expected);
}

static void knows_the_url_of_the_row(void **state)
{
    static const row_values rows[] = { { "ok", UUID_1, UUID_1, UUID_2, "a", "t", "0", "1", "h" },
                                       { "ok", UUID_2, UUID_1, UUID_2, "a", "t", "0", "1", "h" } };
    sf_row_json *serialiser = serialiser_of("https://api.example.com");
    sf_rows *set = make_rows(rows, 2);
    apr_size_t length;

    (void)state;
    sf_row_json_write(serialiser, set, 0, &length);
    assert_string_equal(sf_row_json_url(serialiser), ADDRESS);
    sf_row_json_write(serialiser, set, 1, &length);
    assert_string_equal(sf_row_json_url(serialiser),
                        "https://api.example.com/v1/Services/ZS" DIGITS_2 "/Things/ZH" DIGITS_2);
    sf_row_json_release(serialiser);
}

/* A serialiser is reused, but not for another base URL. */
static void a_base_url_has_its_own_serialiser(void **state)
{
    static const row_values rows[] = { { "ok", UUID_1, UUID_1, UUID_2, "a", "t", "0", "1", "h" } };
    sf_rows *set = make_rows(rows, 1);
    sf_row_json *first = serialiser_of("https://one.example.com");
    sf_row_json *second;
    apr_size_t length;

    (void)state;
    sf_row_json_release(first);
    second = serialiser_of("https://one.example.com");
    assert_ptr_equal(first, second);
    sf_row_json_release(second);
    second = serialiser_of("https://two.example.com");
    assert_ptr_not_equal(first, second);
    assert_non_null(
        strstr(sf_row_json_write(second, set, 0, &length), "\"https://two.example.com/v1/"));
    sf_row_json_release(second);
}

static int set_up(void **state)
{
    (void)state;
    return sf_row_json_init(unit_pool) == APR_SUCCESS ? 0 : -1;
}

int unit_row_json(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_each_kind_of_property),
        cmocka_unit_test(writes_null),
        cmocka_unit_test(escapes_text),
        cmocka_unit_test(rows_are_independent),
        cmocka_unit_test(knows_the_url_of_the_row),
        cmocka_unit_test(a_base_url_has_its_own_serialiser),
    };

    return cmocka_run_group_tests_name("row_json", tests, set_up, NULL);
}
