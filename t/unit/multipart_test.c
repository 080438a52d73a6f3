/* core/http/multipart.c: multipart/form-data as it arrives. t/unit/multipart_fuzz.c feeds it with chance. */
#include "t/unit/unit.h"

#include "core/http/multipart.h"

#define SEVENTY "0123456789012345678901234567890123456789012345678901234567890123456789"
#define MALFORMED_NAME                                                                             \
    "!A part's Content-Disposition is malformed, or its name is longer than 64 bytes"
#define TWO_WAYS "!A part's Content-Disposition has a backslash that can be read in two ways"
#define PART(name, bytes) "Content-Disposition: form-data; name=\"" name "\"\r\n\r\n" bytes

static int note_begin(void *data, const char *name, const char *type)
{
    char **log = data;

    *log = apr_pstrcat(unit_pool, *log, "[", name, "|", type ? type : "-", "|", NULL);
    return strcmp(name, "stop") != 0;
}

static int note_bytes(void *data, const char *bytes, size_t size)
{
    char **log = data;

    *log = apr_pstrcat(unit_pool, *log, apr_pstrmemdup(unit_pool, bytes, size), NULL);
    return 1;
}

static int note_end(void *data)
{
    char **log = data;

    *log = apr_pstrcat(unit_pool, *log, "]", NULL);
    return 1;
}

static const sf_multipart_sink notes = { note_begin, note_bytes, note_end };

/* The parts of the body with the boundary "b" as "[name|type|bytes]", fed in pieces of this size; then "!"
 * and the error where it failed, or "..." where it is not whole. */
static const char *parts_of(const char *text, size_t piece)
{
    const size_t length = strlen(text);
    char *log = apr_pstrdup(unit_pool, "");
    sf_multipart body;
    size_t at;

    sf_multipart_begin(&body, "b", &notes, &log);
    for (at = 0; at < length; at += piece) {
        if (!sf_multipart_feed(&body, text + at, length - at < piece ? length - at : piece)) {
            return apr_pstrcat(unit_pool, log, "!", body.error ? body.error : "", NULL);
        }
    }
    return sf_multipart_is_whole(&body) ? log : apr_pstrcat(unit_pool, log, "...", NULL);
}

typedef struct {
    const char *body;
    const char *parts;
} example;

static void check(const example *examples, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        unit_text(examples[i].body, parts_of(examples[i].body, 1000000), examples[i].parts);
        unit_text(examples[i].body, parts_of(examples[i].body, 1), examples[i].parts);
        unit_text(examples[i].body, parts_of(examples[i].body, 7), examples[i].parts);
    }
}

static void hands_on_parts(void **state)
{
    static const example examples[] = {
        { "--b--", "" },
        { "--b--\r\n", "" },
        { "--b\r\n" PART("Path", "/a") "\r\n--b--\r\n", "[Path|-|/a]" },
        { "--b\r\n" PART("Path", "/a") "\r\n--b\r\n" PART("Content", "") "\r\n--b--",
          "[Path|-|/a][Content|-|]" },
        { "--b\r\nContent-Type: text/css\r\n" PART("C", "x") "\r\n--b--", "[C|text/css|x]" },
        { "preamble\r\n--b\r\n" PART("C", "x") "\r\n--b--epilogue\r\n--b\r\n", "[C|-|x]" },
        { "--b  \r\n" PART("C", "x") "\r\n--b-- ", "[C|-|x]" },
    };

    (void)state;
    check(examples, UNIT_COUNT(examples));
}

static void keeps_bytes_that_begin_like_a_delimiter(void **state)
{
    static const example examples[] = {
        { "--b\r\n" PART("C", "\r\n-b\r\r\n--\r\r\n--c") "\r\n--b--",
          "[C|-|\r\n-b\r\r\n--\r\r\n--c]" },
        { "--b\r\n" PART("C", "--b\n--b") "\r\n--b--", "[C|-|--b\n--b]" },
    };

    (void)state;
    check(examples, UNIT_COUNT(examples));
}

static void reads_names_quoted_or_not(void **state)
{
#define DISPOSITION(text) "--b\r\nContent-Disposition: " text "\r\n\r\nx\r\n--b--"
    static const example examples[] = {
        { DISPOSITION("form-data; name=a"), "[a|-|x]" },
        { DISPOSITION("form-data;name=\"a b\""), "[a b|-|x]" },
        { DISPOSITION("form-data; name=\"a\\\"b\""), "[a\"b|-|x]" },
        { DISPOSITION("FORM-DATA; filename=\"x;y.js\"; NAME=a"), "[a|-|x]" },
        { DISPOSITION("form-data; filename=a"), "!A part has no name" },
        { DISPOSITION("form-data"), "!A part has no name" },
        { DISPOSITION("attachment; name=a"), "!A part has no name" },
        { DISPOSITION("form-dataset; name=a"), "!A part has no name" },
        { DISPOSITION("form-data; name=\"a"), MALFORMED_NAME },
        { DISPOSITION("form-data; name=\"a\"b"), MALFORMED_NAME },
        { DISPOSITION("form-data; name=a\"b\""), MALFORMED_NAME },
        { DISPOSITION("form-data; name=" SEVENTY), MALFORMED_NAME },
    };

    (void)state;
    check(examples, UNIT_COUNT(examples));
}

static void reads_backslashes_as_the_client_means_them(void **state)
{
    static const example examples[] = {
        /* escapes: curl before 7.81, Go */
        { DISPOSITION("form-data; filename=\"a\\\"b\\\\\"; name=\"C\""), "[C|-|x]" },
        { DISPOSITION("form-data; filename=\"a\\\"; name=\\\"P\"; name=\"C\""), "[C|-|x]" },
        { DISPOSITION("form-data; name=\"C\"; filename=\"a\\\"b\""), "[C|-|x]" },
        /* no escapes: browsers, curl since 7.81 */
        { DISPOSITION("form-data; filename=\"a\\\"; name=\"C\""), "[C|-|x]" },
        { DISPOSITION("form-data; filename=\"C:\\a\\b.js\"; name=\"C\""), "[C|-|x]" },
        { DISPOSITION("form-data; filename=\"C:\\a\\\"; name=C"), "[C|-|x]" },
        { DISPOSITION("form-data; name=\"C\"; filename=\"a\\\""), "[C|-|x]" },
        { DISPOSITION("form-data; filename=\"%22; name=%22P\"; name=\"C\""), "[C|-|x]" },
        /* either */
        { DISPOSITION("form-data; filename=\"a\\\"; name=P; b=\\\"\"; name=\"C\""), TWO_WAYS },
        { DISPOSITION("form-data; filename=\"a\\\"; name=P; b=\\\"\""), TWO_WAYS },
        { DISPOSITION("form-data; name=\"a\\\\b\""), TWO_WAYS },
    };

    (void)state;
    check(examples, UNIT_COUNT(examples));
}

static void unfolds_header_lines(void **state)
{
    static const example examples[] = {
        { DISPOSITION("form-data;\r\n name=\"a\""), "[a|-|x]" },
        { DISPOSITION("form-data;\r\n\t \tname=\"a\""), "[a|-|x]" },
        { DISPOSITION("form-data;\r\n \r\n name=\"a\"\r\n "), "[a|-|x]" },
        { DISPOSITION("\r\n form-data; name=\"a\r\n\tb\""), "[a b|-|x]" },
        { "--b\r\nContent-Type: text/html;\r\n charset=utf-8\r\n" PART("C", "x") "\r\n--b--",
          "[C|text/html; charset=utf-8|x]" },
        { "--b\r\nContent-Type:\r\n\ttext/html \t\r\n" PART("C", "\r\n x") "\r\n--b--",
          "[C|text/html|\r\n x]" },
        { "--b\r\n " PART("C", "x") "\r\n--b--",
          "!A part's header has a line that is not a header field" },
        { "--b\r\nX: y\r\n\nZ: z\r\n" PART("C", "x") "\r\n--b--",
          "!A part's header has a line that does not end with CRLF" },
    };

    (void)state;
    check(examples, UNIT_COUNT(examples));
}

static void refuses_headers_of_which_a_part_would_be_lost(void **state)
{
    static const example examples[] = {
        { "--b\r\nContent-Type : text/css\r\n" PART("C", "x") "\r\n--b--",
          "!A part's header has a line that is not a header field" },
        { "--b\r\ntext/css\r\n" PART("C", "x") "\r\n--b--",
          "!A part's header has a line that is not a header field" },
        { "--b\r\n: text/css\r\n" PART("C", "x") "\r\n--b--",
          "!A part's header has a line that is not a header field" },
        { "--b\r\nContent-Type: a/b\r\ncontent-type: c/d\r\n" PART("C", "x") "\r\n--b--",
          "!A part's header has a header field twice" },
        { "--b\r\nContent-Disposition: form-data; name=P\r\n" PART("C", "x") "\r\n--b--",
          "!A part's header has a header field twice" },
        { "--b\r\nX: 1\r\nX: 2\r\n" PART("C", "x") "\r\n--b--", "[C|-|x]" },
    };

    (void)state;
    check(examples, UNIT_COUNT(examples));
}

static void refuses_malformed_bodies(void **state)
{
    static const example examples[] = {
        { "", "..." },
        { "--b", "..." },
        { "--b\r\n" PART("C", "x"), "[C|-|x..." },
        { "--b\r\n" PART("C", "x") "\r\n--b", "[C|-|x]..." },
        { "--bx", "!A delimiter is malformed" },
        { "--b\r\n" PART("C", "x") "\r\n--bb--", "[C|-|x]!A delimiter is malformed" },
        { "--b\r\n\r\nx\r\n--b--", "!A part has no name" },
        { "--b\r\nContent-Transfer-Encoding: base64\r\n" PART("C", "x") "\r\n--b--",
          "!A part has a Content-Transfer-Encoding that is not supported" },
        { "--b\r\nX: y\nZ: z\r\n" PART("C", "x") "\r\n--b--",
          "!A part's header has a line that does not end with CRLF" },
    };

    (void)state;
    check(examples, UNIT_COUNT(examples));
}

static void the_sink_can_stop_it(void **state)
{
    static const example examples[] = {
        { "--b\r\n" PART("stop", "x") "\r\n--b\r\n" PART("C", "y") "\r\n--b--", "[stop|-|!" },
    };

    (void)state;
    check(examples, UNIT_COUNT(examples));
}

static void bounds_parts_and_headers(void **state)
{
    char *text = apr_pstrdup(unit_pool, "--b\r\n");
    char *spaces = apr_palloc(unit_pool, SF_MULTIPART_HEADER_MAX);
    int i;

    (void)state;
    for (i = 0; i < SF_MULTIPART_PARTS_MAX; i++) {
        text = apr_pstrcat(unit_pool, text, PART("a", "") "\r\n--b\r\n", NULL);
    }
    assert_non_null(strstr(parts_of(text, 100), "!The body has too many parts"));

    memset(spaces, ' ', SF_MULTIPART_HEADER_MAX - 1);
    spaces[SF_MULTIPART_HEADER_MAX - 1] = '\0';
    text = apr_pstrcat(unit_pool, "--b\r\nX:", spaces, NULL);
    assert_string_equal(parts_of(text, 100), "!A part's header is too long");
}

static void reads_the_boundary(void **state)
{
#define MALFORMED "The content type's boundary is malformed"
    static const struct {
        const char *type;
        const char *error;
        const char *boundary;
    } examples[] = {
        { "multipart/form-data; boundary=b", NULL, "b" },
        { "multipart/form-data;boundary=\"a b\"", NULL, "a b" },
        { "multipart/form-data; charset=utf-8; Boundary=--x-'()+_,./:=?", NULL, "--x-'()+_,./:=?" },
        { "multipart/form-data; boundary=" SEVENTY, NULL, SEVENTY },
        { "multipart/form-data; boundary=" SEVENTY "0", MALFORMED, NULL },
        { "multipart/form-data; boundary=", MALFORMED, NULL },
        { "multipart/form-data; boundary=\"b \"", MALFORMED, NULL },
        { "multipart/form-data; boundary=\"b", MALFORMED, NULL },
        { "multipart/form-data; boundary=a@b", MALFORMED, NULL },
        { "multipart/form-data", "The content type has no boundary", NULL },
        { "multipart/form-data; x=boundary", "The content type has no boundary", NULL },
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        char boundary[SF_MULTIPART_BOUNDARY_MAX + 1];
        const char *error = sf_multipart_boundary(examples[i].type, boundary);

        unit_text(examples[i].type, error, examples[i].error);
        if (!error) {
            unit_text(examples[i].type, boundary, examples[i].boundary);
        }
    }
}

int unit_multipart(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hands_on_parts),
        cmocka_unit_test(keeps_bytes_that_begin_like_a_delimiter),
        cmocka_unit_test(reads_names_quoted_or_not),
        cmocka_unit_test(reads_backslashes_as_the_client_means_them),
        cmocka_unit_test(unfolds_header_lines),
        cmocka_unit_test(refuses_headers_of_which_a_part_would_be_lost),
        cmocka_unit_test(refuses_malformed_bodies),
        cmocka_unit_test(the_sink_can_stop_it),
        cmocka_unit_test(bounds_parts_and_headers),
        cmocka_unit_test(reads_the_boundary),
    };

    return cmocka_run_group_tests_name("multipart", tests, NULL, NULL);
}
