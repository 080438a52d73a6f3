/* core/http/params.c: parameters of a request, as a query has them. A form has the same text. */
#include "t/unit/unit.h"

#include "core/http/params.h"

#include <http_protocol.h>

#define DIGITS "0123456789abcdef0123456789abcdef"
#define SID "ZN" DIGITS

static const sf_param table[] = {
    { .name = "Text", .kind = SF_PARAM_TEXT, .maximum = 5 },
    { .name = "Flag", .kind = SF_PARAM_FLAG },
    { .name = "Sid", .kind = SF_PARAM_SID, .prefix = "ZN" },
    { .name = "Sids", .kind = SF_PARAM_SIDS, .prefix = "ZN", .maximum = 2 },
    { .name = NULL },
};

static sf_request *request_of(const char *query)
{
    return sf_request_of(unit_request(query, NULL));
}

/* Reads parameters of the table, and returns the error's message, or the values with "|" between and "-" for
 * NULL. */
static const char *values_of(const char *query, const sf_param *params)
{
    const char *values[SF_PARAMS_MAX];
    const sf_error *error = sf_params_read(request_of(query), params, values);
    const char *text = "";
    int i;

    if (error) {
        assert_int_equal(error->status, HTTP_BAD_REQUEST);
        return error->message;
    }
    for (i = 0; params[i].name; i++) {
        text = apr_pstrcat(unit_pool, text, i ? "|" : "", values[i] ? values[i] : "-", NULL);
    }
    return text;
}

typedef struct {
    const char *query;
    const char *values;
} example;

static void check(const example *examples, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        unit_text(examples[i].query, values_of(examples[i].query, table), examples[i].values);
    }
}

/* The same for one parameter P of this kind. */
static void check_kind(sf_param param, const example *examples, size_t count)
{
    const sf_param params[] = { param, { .name = NULL } };
    size_t i;

    for (i = 0; i < count; i++) {
        const char *query = apr_pstrcat(unit_pool, "P=", examples[i].query, NULL);

        unit_text(query, values_of(query, params), examples[i].values);
    }
}

static void reads_what_the_table_has(void **state)
{
    static const example examples[] = {
        { NULL, "-|-|-|-" },
        { "", "-|-|-|-" },
        { "Text=a", "a|-|-|-" },
        { "Flag=true&Text=a", "a|t|-|-" },
        { "Other=1&Text=a&=&text=b", "a|-|-|-" },
        { "&&Text=a&", "a|-|-|-" },
        { "Text=a=b", "a=b|-|-|-" },
    };

    (void)state;
    check(examples, UNIT_COUNT(examples));
}

static void decodes_names_and_values(void **state)
{
    static const example examples[] = {
        { "Text=a+b", "a b|-|-|-" },
        { "Text=%61%2B%26", "a+&|-|-|-" },
        { "%54ext=a", "a|-|-|-" },
        { "Text=%C3%A9%E2%82%AC", "\xC3\xA9\xE2\x82\xAC|-|-|-" },
        { "Text=%", "The parameters have a malformed percent-encoding" },
        { "Text=%4", "The parameters have a malformed percent-encoding" },
        { "Other=%zz", "The parameters have a malformed percent-encoding" },
        { "Text=a%00b", "The parameters must not contain NUL" },
        { "Te%00xt=a", "The parameters must not contain NUL" },
        { "Text=%FF", "Text is not valid UTF-8" },
        { "Text=%ED%A0%80", "Text is not valid UTF-8" },
    };

    (void)state;
    check(examples, UNIT_COUNT(examples));
}

static void refuses_repeated_and_empty_values(void **state)
{
    static const example examples[] = {
        { "Text=a&Text=a", "Text is given more than once" },
        { "Text=", "Text must not be empty" },
        { "Text", "Text must not be empty" },
        { "Flag=&Text=a", "Flag must not be empty" },
    };

    (void)state;
    check(examples, UNIT_COUNT(examples));
}

static void collects_sids(void **state)
{
    static const example examples[] = {
        { "Sids=" SID, "-|-|-|{" DIGITS "}" },
        { "Sids=" SID "&Sids=" SID, "-|-|-|{" DIGITS "," DIGITS "}" },
        { "Sids=" SID "&Sids=" SID "&Sids=" SID, "Sids must not be given more than 2 times" },
        { "Sids=", "Sids must be a SID that begins with ZN" },
        { "Sids=ZH" DIGITS, "Sids must be a SID that begins with ZN" },
    };

    (void)state;
    check(examples, UNIT_COUNT(examples));
}

static void requires_parameters(void **state)
{
    static const sf_param params[]
        = { { .name = "P", .kind = SF_PARAM_TEXT, .maximum = 5, .required = 1 }, { .name = NULL } };

    (void)state;
    assert_string_equal(values_of("", params), "Missing required parameter P in the post body");
    assert_string_equal(values_of("P=", params), "Missing required parameter P in the post body");
    assert_string_equal(values_of("P=a", params), "a");
}

static void counts_characters_of_a_text(void **state)
{
    static const example examples[] = {
        { "abcde", "abcde" },
        { "abcdef", "P must not be longer than 5 characters" },
        { "%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9", "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9" },
    };

    (void)state;
    check_kind((sf_param){ .name = "P", .kind = SF_PARAM_TEXT, .maximum = 5 }, examples,
               UNIT_COUNT(examples));
}

static void counts_bytes_of_bytes(void **state)
{
    static const example examples[] = {
        { "abcde", "abcde" },
        { "%C3%A9%C3%A9", "\xC3\xA9\xC3\xA9" },
        { "%C3%A9%C3%A9%C3%A9", "P must not be longer than 5 bytes" },
    };

    (void)state;
    check_kind((sf_param){ .name = "P", .kind = SF_PARAM_BYTES, .maximum = 5 }, examples,
               UNIT_COUNT(examples));
}

static void reads_flags_in_any_case(void **state)
{
    static const example examples[] = {
        { "true", "t" },
        { "FALSE", "f" },
        { "True", "t" },
        { "1", "P must be true or false" },
        { "t", "P must be true or false" },
        { "true+", "P must be true or false" },
    };

    (void)state;
    check_kind((sf_param){ .name = "P", .kind = SF_PARAM_FLAG }, examples, UNIT_COUNT(examples));
}

static void reads_a_sid_as_its_digits(void **state)
{
    static const example examples[] = {
        { SID, DIGITS },
        { "ZN0123456789ABCDEF0123456789ABCDEF", DIGITS },
        { "ZH" DIGITS, "P must be a SID that begins with ZN" },
        { DIGITS, "P must be a SID that begins with ZN" },
    };

    (void)state;
    check_kind((sf_param){ .name = "P", .kind = SF_PARAM_SID, .prefix = "ZN" }, examples,
               UNIT_COUNT(examples));
}

static void takes_unique_names_that_are_no_sids(void **state)
{
#define UNIQUE_NAME                                                                                \
    "P must begin with a letter or digit and consist of letters, digits, '-', '_' and '.'"
    static const example examples[] = {
        { "my-service_1.0", "my-service_1.0" },
        { "-a", UNIQUE_NAME },
        { "a+b", UNIQUE_NAME },
        { "ZS" DIGITS, "P must not look like a SID" },
        { "ZS0123456789ABCDEF0123456789ABCDEF", "P must not look like a SID" },
        { "ZH" DIGITS, "ZH" DIGITS },
        { "a" DIGITS "0000000", "a" DIGITS "0000000" },
        { "a" DIGITS "00000000", "P must not be longer than 40 characters" },
    };

    (void)state;
    check_kind((sf_param){ .name = "P", .kind = SF_PARAM_UNIQUE_NAME, .maximum = 40 }, examples,
               UNIT_COUNT(examples));
}

static void takes_labels_of_host_names(void **state)
{
#define LABEL "P must consist of letters and digits, with '-' only between"
    static const example examples[] = {
        { "dev", "dev" },
        { "Dev-1", "Dev-1" },
        { "1", "1" },
        { "-", LABEL },
        { "dev-", LABEL },
        { "-dev", LABEL },
        { "dev.x", LABEL },
        { "d_v", LABEL },
        { "%C3%A9", LABEL },
        { "abcdefghijklmnop", "abcdefghijklmnop" },
        { "abcdefghijklmnopq", "P must not be longer than 16 characters" },
    };

    (void)state;
    check_kind((sf_param){ .name = "P", .kind = SF_PARAM_LABEL, .maximum = 16 }, examples,
               UNIT_COUNT(examples));
}

static void reads_dates_as_utc(void **state)
{
    static const example examples[] = {
        { "2018-11-10T20:00:00Z", "2018-11-10T20:00:00Z" },
        { "2018-11-10T20:00:00%2B01:00", "2018-11-10T19:00:00Z" },
        { "2018-11-10T20:00:00+01:00", "2018-11-10T19:00:00Z" },
        { "2018-11-10", "P must be a time such as 2018-11-10T20:00:00Z" },
    };

    (void)state;
    check_kind((sf_param){ .name = "P", .kind = SF_PARAM_DATE }, examples, UNIT_COUNT(examples));
}

static void writes_values_as_a_client_sends_them(void **state)
{
    static const sf_param text = { .name = "P", .kind = SF_PARAM_TEXT };
    static const sf_param sid = { .name = "P", .kind = SF_PARAM_SID, .prefix = "ZN" };
    const char *written = sf_param_query(unit_pool, &text, "a b&c=\xC3\xA9%+");

    (void)state;
    assert_string_equal(sf_param_query(unit_pool, &sid, DIGITS), SID);
    assert_null(strpbrk(written, " &="));
    assert_string_equal(
        values_of(apr_pstrcat(unit_pool, "P=", written, NULL),
                  (sf_param[]){ { .name = "P", .kind = SF_PARAM_TEXT, .maximum = 20 },
                                { .name = NULL } }),
        "a b&c=\xC3\xA9%+");
}

static void counts_the_rows_of_a_table(void **state)
{
    (void)state;
    assert_int_equal(sf_params_count(NULL), 0);
    assert_int_equal(sf_params_count(table), 4);
}

static void does_not_read_a_body_that_is_no_form(void **state)
{
    static const char *const types[] = { "application/json", "multipart/form-data; boundary=b",
                                         "text/plain", "application/x-www-form-urlencodedx" };
    const char *values[SF_PARAMS_MAX];
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(types); i++) {
        sf_request *request = request_of(NULL);
        const sf_error *error;

        request->r->method = "POST";
        request->r->method_number = M_POST;
        apr_table_setn(request->r->headers_in, "Content-Type", types[i]);
        error = sf_params_read(request, table, values);
        unit_number(types[i], error ? error->status : 0, HTTP_UNSUPPORTED_MEDIA_TYPE);
    }
}

int unit_params(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_the_table_has),
        cmocka_unit_test(decodes_names_and_values),
        cmocka_unit_test(refuses_repeated_and_empty_values),
        cmocka_unit_test(collects_sids),
        cmocka_unit_test(requires_parameters),
        cmocka_unit_test(counts_characters_of_a_text),
        cmocka_unit_test(counts_bytes_of_bytes),
        cmocka_unit_test(reads_flags_in_any_case),
        cmocka_unit_test(reads_a_sid_as_its_digits),
        cmocka_unit_test(takes_unique_names_that_are_no_sids),
        cmocka_unit_test(takes_labels_of_host_names),
        cmocka_unit_test(reads_dates_as_utc),
        cmocka_unit_test(writes_values_as_a_client_sends_them),
        cmocka_unit_test(counts_the_rows_of_a_table),
        cmocka_unit_test(does_not_read_a_body_that_is_no_form),
    };

    return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
