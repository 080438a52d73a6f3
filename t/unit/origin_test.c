/* CORS origins: directives/parse.c reads them from the configuration, core/http/cors.c compares a request's
 * with them. */
#include "t/unit/unit.h"

#include "core/http/cors.h"
#include "directives/parse.h"

#define ORIGIN                                                                                     \
    "takes None, or origins such as https://app.example.com, without a path and without the "      \
    "scheme's own port"
#define WILDCARD                                                                                   \
    "does not take *: any page could then act with the credentials that its visitor's browser "    \
    "keeps; name each origin"

static void reads_origins_in_lower_case(void **state)
{
    static const struct {
        const char *input;
        const char *origin;
    } examples[] = {
        { "https://app.example.com", "https://app.example.com" },
        { "HTTPS://App.Example.COM", "https://app.example.com" },
        { "http://localhost:3000", "http://localhost:3000" },
        { "http://app.example.com:443", "http://app.example.com:443" },
        { "https://app.example.com:80", "https://app.example.com:80" },
        { "https://app.example.com:65535", "https://app.example.com:65535" },
        { "http://[::1]:8080", "http://[::1]:8080" },
        { "http://10.0.0.1", "http://10.0.0.1" },
        { "chrome-extension://abcdefgh", "chrome-extension://abcdefgh" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        const char *origin = NULL;

        unit_text(examples[i].input, sf_parse_origin(unit_pool, examples[i].input, &origin), NULL);
        unit_text(examples[i].input, origin, examples[i].origin);
    }
}

static void refuses_texts_that_no_browser_sends(void **state)
{
    static const char *const texts[] = {
        "",
        "null",
        "app.example.com",
        "//app.example.com",
        "https://",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://app.example.com?q",
        "https://user@app.example.com",
        "https://app.example.com:443",
        "http://app.example.com:80",
        "https://app.example.com:",
        "https://app.example.com:0",
        "https://app.example.com:08",
        "https://app.example.com:65536",
        "https://.example.com",
        "https://app..example.com",
        "https://app example.com",
        "https://[::1",
        "1http://app.example.com",
    };
    const char *origin;
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(texts); i++) {
        unit_text(texts[i], sf_parse_origin(unit_pool, texts[i], &origin), ORIGIN);
    }
}

static void refuses_wildcards(void **state)
{
    static const char *const texts[] = { "*", "https://*", "https://*.example.com" };
    const char *origin;
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(texts); i++) {
        unit_text(texts[i], sf_parse_origin(unit_pool, texts[i], &origin), WILDCARD);
    }
}

/* The headers of an answer to a request with this Origin (NULL: without) where one origin is configured. */
static apr_table_t *answer_headers(const char *origin)
{
    sf_dir_config *config;
    request_rec *r = unit_request(NULL, &config);

    config->cors_origins = apr_array_make(unit_pool, 1, sizeof(const char *));
    APR_ARRAY_PUSH(config->cors_origins, const char *) = "https://app.example.com";
    if (origin) {
        apr_table_setn(r->headers_in, "Origin", origin);
    }
    sf_cors_add_headers(r);
    return r->err_headers_out;
}

static void allows_the_origins_of_the_location(void **state)
{
    apr_table_t *headers = answer_headers("https://app.example.com");

    (void)state;
    assert_string_equal(apr_table_get(headers, "Access-Control-Allow-Origin"),
                        "https://app.example.com");
    assert_string_equal(apr_table_get(headers, "Access-Control-Allow-Credentials"), "true");
    assert_string_equal(apr_table_get(headers, "Vary"), "Origin");
}

static void allows_no_other_origin(void **state)
{
    static const char *const origins[] = {
        NULL,
        "",
        "null",
        "https://app.example.co",
        "https://app.example.com.evil.example",
        "http://app.example.com",
        "https://app.example.com:8443",
        "HTTPS://APP.EXAMPLE.COM", /* browsers send lower case */
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(origins); i++) {
        apr_table_t *headers = answer_headers(origins[i]);

        unit_number(origins[i] ? origins[i] : "none", apr_table_elts(headers)->nelts, 1);
        unit_text(origins[i] ? origins[i] : "none", apr_table_get(headers, "Vary"), "Origin");
    }
}

static void adds_no_header_without_the_directive(void **state)
{
    request_rec *r = unit_request(NULL, NULL);

    (void)state;
    apr_table_setn(r->headers_in, "Origin", "https://app.example.com");
    sf_cors_add_headers(r);
    assert_true(apr_is_empty_table(r->err_headers_out));
}

int unit_origin(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_origins_in_lower_case),
        cmocka_unit_test(refuses_texts_that_no_browser_sends),
        cmocka_unit_test(refuses_wildcards),
        cmocka_unit_test(allows_the_origins_of_the_location),
        cmocka_unit_test(allows_no_other_origin),
        cmocka_unit_test(adds_no_header_without_the_directive),
    };

    return cmocka_run_group_tests_name("origin", tests, NULL, NULL);
}
