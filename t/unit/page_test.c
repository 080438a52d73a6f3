/* core/api/page.c: parameters of a list's pages, and page tokens. */
#include "t/unit/unit.h"

#include "core/api/page.h"
#include "core/db/rows.h"

#include <http_protocol.h>

#define ROW "01234567-89ab-cdef-0123-456789abcdef"
#define DIGITS "0123456789abcdef0123456789abcdef"

static const unsigned char key[SF_DB_KEY_BYTES] = "a key of the database's own....";
static const unsigned char other_key[SF_DB_KEY_BYTES] = "b key of the database's own....";

static const sf_page_scope scope = { key, "account", "/Services/ZS1/Functions", "FriendlyName=a&" };

/* Reads a page of a list with one filter. Returns NULL or the error's message. */
static const char *read_page(const char *query, sf_page *page)
{
    static const sf_param filters[]
        = { { .name = "FriendlyName", .kind = SF_PARAM_TEXT, .maximum = 255 }, { .name = NULL } };
    const sf_error *error;

    *page = (sf_page){ .filters = filters };
    error = sf_page_read(sf_request_of(unit_request(query, NULL)), 1000, page);
    if (error) {
        assert_int_equal(error->status, HTTP_BAD_REQUEST);
    }
    return error ? error->message : NULL;
}

static const char *token_query(const char *token)
{
    return apr_pstrcat(unit_pool, "Page=1&PageToken=", token, NULL);
}

static void the_first_page_needs_no_parameter(void **state)
{
    sf_page page;

    (void)state;
    assert_null(read_page(NULL, &page));
    assert_int_equal(page.size, 50);
    assert_int_equal(page.number, 0);
    assert_null(page.token);
    assert_null(page.values[0]);
    assert_int_equal(page.direction, SF_PAGE_FROM);
    assert_string_equal(page.row, SF_PAGE_NEWEST_ROW);
}

static void page_size_is_bounded(void **state)
{
#define SIZE "PageSize must be a whole number from 1 to 1000"
    static const struct {
        const char *query;
        const char *error;
        int size;
    } examples[] = {
        { "PageSize=1", NULL, 1 },       { "PageSize=1000", NULL, 1000 },
        { "PageSize=1001", NULL, 1000 }, { "PageSize=99999999999999999999", NULL, 1000 },
        { "PageSize=007", NULL, 7 },     { "PageSize=0", SIZE, 0 },
        { "PageSize=-1", SIZE, 0 },      { "PageSize=1.5", SIZE, 0 },
        { "PageSize=1e3", SIZE, 0 },     { "PageSize=ten", SIZE, 0 },
        { "PageSize=%201", SIZE, 0 },    { "PageSize=", "PageSize must not be empty", 0 },
    };
    sf_page page;
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        unit_text(examples[i].query, read_page(examples[i].query, &page), examples[i].error);
        if (!examples[i].error) {
            unit_number(examples[i].query, page.size, examples[i].size);
        }
    }
}

static void a_later_page_needs_a_token(void **state)
{
    sf_page page;

    (void)state;
    assert_string_equal(read_page("Page=1", &page),
                        "Page needs the PageToken that came with the page before it");
    assert_string_equal(read_page("Page=-1", &page), "Page must be a whole number from 0");
    assert_null(read_page("Page=0", &page));
}

static void a_token_names_its_row_and_direction(void **state)
{
    static const char directions[] = { SF_PAGE_FROM, SF_PAGE_BEFORE };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(directions); i++) {
        const char *token = sf_page_token(unit_pool, directions[i], ROW, &scope);
        sf_page page;

        assert_memory_equal(token, "PT", 2);
        assert_int_equal(strlen(token), 46);
        assert_null(read_page(token_query(token), &page));
        assert_int_equal(page.direction, directions[i]);
        assert_string_equal(page.row, DIGITS);
        assert_int_equal(page.number, 1);
        assert_true(sf_page_token_is_valid(unit_pool, &page, &scope));
    }
}

static void a_token_is_valid_for_its_scope_only(void **state)
{
    static const sf_page_scope others[] = {
        { other_key, "account", "/Services/ZS1/Functions", "FriendlyName=a&" },
        { key, "accounts", "/Services/ZS1/Functions", "FriendlyName=a&" },
        { key, "account", "/Services/ZS2/Functions", "FriendlyName=a&" },
        { key, "account", "/Services/ZS1/Functions", "" },
        { key, "account", "/Services/ZS1/Functions", "FriendlyName=b&" },
    };
    sf_page page;
    size_t i;

    (void)state;
    assert_null(read_page(token_query(sf_page_token(unit_pool, SF_PAGE_FROM, ROW, &scope)), &page));
    assert_true(sf_page_token_is_valid(unit_pool, &page, &scope));
    for (i = 0; i < UNIT_COUNT(others); i++) {
        unit_number(apr_psprintf(unit_pool, "scope %d", (int)i),
                    sf_page_token_is_valid(unit_pool, &page, &others[i]), 0);
    }
}

/* Each character of a token but its prefix is signed, or is the signature. */
static void a_changed_token_is_not_valid(void **state)
{
    const char *token = sf_page_token(unit_pool, SF_PAGE_FROM, ROW, &scope);
    size_t i;

    (void)state;
    for (i = 2; i < strlen(token); i++) {
        char *changed = apr_pstrdup(unit_pool, token);
        sf_page page;

        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        if (!read_page(token_query(changed), &page)) {
            unit_number(changed, sf_page_token_is_valid(unit_pool, &page, &scope), 0);
        }
    }
}

static void refuses_texts_that_are_no_tokens(void **state)
{
    const char *token = sf_page_token(unit_pool, SF_PAGE_FROM, ROW, &scope);
    const char *texts[] = {
        "x",
        "PT",
        token + 2,
        apr_pstrcat(unit_pool, token, "A", NULL),
        apr_pstrmemdup(unit_pool, token, strlen(token) - 1),
        apr_pstrcat(unit_pool, "XX", token + 2, NULL),
        apr_pstrcat(unit_pool, "PT%21", token + 3, NULL), /* no base64url */
        apr_pstrcat(unit_pool, "PTQQ", token + 4, NULL),  /* direction 'A' */
    };
    sf_page page;
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(texts); i++) {
        unit_text(texts[i], read_page(token_query(texts[i]), &page),
                  "PageToken is not valid for this list");
    }
}

static void filters_are_part_of_urls(void **state)
{
    sf_page page;

    (void)state;
    assert_null(read_page("FriendlyName=a", &page));
    assert_string_equal(sf_page_filters(unit_pool, &page), "FriendlyName=a&");
    assert_null(read_page("PageSize=2", &page));
    assert_string_equal(sf_page_filters(unit_pool, &page), "");
    assert_null(read_page("FriendlyName=a%26b%C3%A9", &page));
    assert_string_equal(page.values[0], "a&b\xC3\xA9");
    assert_null(strchr(sf_page_filters(unit_pool, &page) + sizeof("FriendlyName=a&b") - 2, '\xC3'));
}

int unit_page(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_page_needs_no_parameter),
        cmocka_unit_test(page_size_is_bounded),
        cmocka_unit_test(a_later_page_needs_a_token),
        cmocka_unit_test(a_token_names_its_row_and_direction),
        cmocka_unit_test(a_token_is_valid_for_its_scope_only),
        cmocka_unit_test(a_changed_token_is_not_valid),
        cmocka_unit_test(refuses_texts_that_are_no_tokens),
        cmocka_unit_test(filters_are_part_of_urls),
    };

    return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}
