/* directives/parse.c: the texts of directives as values. */
#include "t/unit/unit.h"

#include "directives/parse.h"

#define TIME "takes a time from 1ms to 24h, such as 2s or 500ms"
#define AGE "takes a time from 1h to 3650d, such as 30d, or Off"
#define CONNECTIONS "takes a number from 1 to 1000"
#define URL "takes a URL such as https://serverless.example.com, without a slash at its end"
#define DOMAIN "takes a domain name in lower case, such as twil.io"
#define EXECUTABLE "takes the path of an executable file, such as /usr/bin/node"
#define RUNTIMES "takes names of up to 64 letters, digits, '.', '-' and '_'"

typedef struct {
    const char *input;
    apr_int64_t value;
} number;

static void time_has_a_unit_or_is_seconds(void **state)
{
    static const number good[] = {
        { "2", 2000000 },
        { "2s", 2000000 },
        { "1ms", 1000 },
        { "500ms", 500000 },
        { "3min", 180000000 },
        { "24h", APR_INT64_C(86400000000) },
        { "86400", APR_INT64_C(86400000000) },
    };
    static const char *const bad[]
        = { "", "0", "0s", "-1", "2x", "ms", "86401", "25h", "2 s", "1.5s" };
    apr_interval_time_t value;
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(good); i++) {
        unit_text(good[i].input, sf_parse_time(unit_pool, good[i].input, &value), NULL);
        unit_number(good[i].input, value, good[i].value);
    }
    for (i = 0; i < UNIT_COUNT(bad); i++) {
        unit_text(bad[i], sf_parse_time(unit_pool, bad[i], &value), TIME);
    }
}

static void age_has_a_unit_or_is_off(void **state)
{
    static const number good[] = {
        { "Off", 0 },
        { "off", 0 },
        { "1h", APR_INT64_C(3600000000) },
        { "60min", APR_INT64_C(3600000000) },
        { "1d", APR_INT64_C(86400000000) },
        { "30d", 30 * APR_INT64_C(86400000000) },
        { "3650d", 3650 * APR_INT64_C(86400000000) },
    };
    static const char *const bad[]
        = { "", "30", "0d", "3651d", "999999d", "59min", "d", "30D", "-1d", "30d " };
    apr_interval_time_t value;
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(good); i++) {
        unit_text(good[i].input, sf_parse_age(unit_pool, good[i].input, &value), NULL);
        unit_number(good[i].input, value, good[i].value);
    }
    for (i = 0; i < UNIT_COUNT(bad); i++) {
        unit_text(bad[i], sf_parse_age(unit_pool, bad[i], &value), AGE);
    }
}

static void bytes_are_bounded(void **state)
{
    static const struct {
        const char *input;
        const char *memory; /* error messages, or NULL */
        const char *stored;
    } examples[] = {
#define MEMORY "takes a number of bytes from 1 to 64M, such as 4194304 or 4M"
#define STORED "takes a number of bytes from 1 to 1G, such as 4194304 or 4M"
        { "1", NULL, NULL },
        { "67108864", NULL, NULL },
        { "67108865", MEMORY, NULL },
        { "1073741824", MEMORY, NULL },
        { "1073741825", MEMORY, STORED },
        { "99999999999999999999", MEMORY, STORED },
        { "0", MEMORY, STORED },
        { "-1", MEMORY, STORED },
        { "1k", NULL, NULL },
        { "64M", NULL, NULL },
        { "65M", MEMORY, NULL },
        { "1g", MEMORY, NULL },
        { "2G", MEMORY, STORED },
        { "1T", MEMORY, STORED },
        { "9223372036854775807T", MEMORY, STORED },
        { "1kb", MEMORY, STORED },
        { "1 k", MEMORY, STORED },
        { " 1", MEMORY, STORED },
        { "k", MEMORY, STORED },
        { "0x10", MEMORY, STORED },
        { "", MEMORY, STORED },
    };
    apr_off_t value;
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        unit_text(examples[i].input, sf_parse_memory_bytes(unit_pool, examples[i].input, &value),
                  examples[i].memory);
        unit_text(examples[i].input, sf_parse_stored_bytes(unit_pool, examples[i].input, &value),
                  examples[i].stored);
    }
    assert_null(sf_parse_stored_bytes(unit_pool, "1048576", &value));
    assert_int_equal(value, 1048576);
    assert_null(sf_parse_stored_bytes(unit_pool, "3m", &value));
    assert_int_equal(value, 3 * 1048576);
    assert_null(sf_parse_disk_bytes(unit_pool, "1T", &value));
    assert_int_equal(value, (apr_off_t)1024 * 1024 * 1024 * 1024);
}

static void connections_are_from_1_to_1000(void **state)
{
    static const char *const bad[]
        = { "", "0", "-1", "1001", "8 ", "8x", "x", "99999999999999999999" };
    int value = 0;
    size_t i;

    (void)state;
    assert_null(sf_parse_connections(unit_pool, "1", &value));
    assert_int_equal(value, 1);
    assert_null(sf_parse_connections(unit_pool, "1000", &value));
    assert_int_equal(value, 1000);
    for (i = 0; i < UNIT_COUNT(bad); i++) {
        unit_text(bad[i], sf_parse_connections(unit_pool, bad[i], &value), CONNECTIONS);
    }
}

/* Each of the texts is its own value, or gives the error. */
static void texts(sf_parser *parse, const char *const *inputs, size_t count, const char *error)
{
    size_t i;

    for (i = 0; i < count; i++) {
        const char *value = NULL;

        unit_text(inputs[i], parse(unit_pool, inputs[i], &value), error);
        unit_text(inputs[i], value, error ? NULL : inputs[i]);
    }
}

static void base_url_is_scheme_host_port_and_path(void **state)
{
    static const char *const good[] = { "https://a.example", "http://127.0.0.1:8080",
                                        "http://[::1]:8080", "https://a.example/below/it" };
    static const char *const bad[] = { "",
                                       "a.example",
                                       "/a",
                                       "HTTPS://a.example",
                                       "ftp://a.example",
                                       "https://",
                                       "https://a.example/",
                                       "https://a/?q=1",
                                       "https://a/#f",
                                       "https://u@a.example",
                                       "https:///",
                                       "https://a b",
                                       "https://\xC3\xA9/a" };

    (void)state;
    texts(sf_parse_base_url, good, UNIT_COUNT(good), NULL);
    texts(sf_parse_base_url, bad, UNIT_COUNT(bad), URL);
}

static void domain_is_labels_in_lower_case(void **state)
{
    static const char label[]
        = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789a"; /* 63 */
    const char *good[]
        = { "twil.io", "a",
            "1.2",     "x-y.example",
            label,     apr_psprintf(unit_pool, "%s.%s.%s", label, label, label + 1) /* 190 */ };
    const char *bad[] = { "",
                          ".",
                          "a.",
                          ".a",
                          "a..b",
                          "-a",
                          "a-",
                          "A.b",
                          "a_b",
                          "a b",
                          "\xC3\xA9.io",
                          apr_pstrcat(unit_pool, label, "b", NULL),
                          apr_psprintf(unit_pool, "%s.%s.%s", label, label, label) };

    (void)state;
    texts(sf_parse_domain, good, UNIT_COUNT(good), NULL);
    texts(sf_parse_domain, bad, UNIT_COUNT(bad), DOMAIN);
}

static void executable_is_an_absolute_path_of_one(void **state)
{
    static const char *const good[] = { "/bin/sh" };
    static const char *const bad[] = { "", "sh", "bin/sh", "/", "/etc/passwd", "/nowhere/node" };

    (void)state;
    texts(sf_parse_executable, good, UNIT_COUNT(good), NULL);
    texts(sf_parse_executable, bad, UNIT_COUNT(bad), EXECUTABLE);
}

static void runtimes_are_added_in_order(void **state)
{
    apr_array_header_t *runtimes = apr_array_make(unit_pool, 2, sizeof(const char *));

    (void)state;
    assert_null(sf_parse_runtimes(unit_pool, "node18 \"node20\"  python3.12-x_y", runtimes));
    assert_null(sf_parse_runtimes(unit_pool, "node22", runtimes));
    assert_string_equal(apr_array_pstrcat(unit_pool, runtimes, ','),
                        "node18,node20,python3.12-x_y,node22");
}

static void runtimes_are_names(void **state)
{
    static const char *const bad[] = {
        "",        "\"\"",
        "node/18", "node18 a,b",
        "\"a b\"", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789abc" /* 65 */
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(bad); i++) {
        apr_array_header_t *runtimes = apr_array_make(unit_pool, 2, sizeof(const char *));

        unit_text(bad[i], sf_parse_runtimes(unit_pool, bad[i], runtimes), RUNTIMES);
    }
}

static void prefix_precedes_services(void **state)
{
    static const struct {
        const char *location;
        const char *prefix;
    } examples[] = {
        { "/v1/Services", "/v1" },   { "/Services", "" },
        { "/a/b/Services", "/a/b" }, { "/v1/Services/", NULL },
        { "/v1/services", NULL },    { "/v1", NULL },
        { "Services", NULL },        { "", NULL },
        { "/*/Services", NULL },     { "/v?/Services", NULL },
        { "/v[12]/Services", NULL },
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        unit_text(examples[i].location, sf_parse_prefix(unit_pool, examples[i].location),
                  examples[i].prefix);
    }
}

int unit_parse(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_has_a_unit_or_is_seconds),
        cmocka_unit_test(age_has_a_unit_or_is_off),
        cmocka_unit_test(bytes_are_bounded),
        cmocka_unit_test(connections_are_from_1_to_1000),
        cmocka_unit_test(base_url_is_scheme_host_port_and_path),
        cmocka_unit_test(domain_is_labels_in_lower_case),
        cmocka_unit_test(executable_is_an_absolute_path_of_one),
        cmocka_unit_test(runtimes_are_added_in_order),
        cmocka_unit_test(runtimes_are_names),
        cmocka_unit_test(prefix_precedes_services),
    };

    return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
