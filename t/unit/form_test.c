/* core/http/form.c: the parameters of a form. */
#include "t/unit/unit.h"

#include "core/http/form.h"

/* Returns the parameters as "[name|value]" each, and behind them "end", "NUL" or "malformed". */
static const char *parameters_of(const char *text)
{
    static const char *const results[]
        = { [SF_FORM_END] = "end", [SF_FORM_NUL] = "NUL", [SF_FORM_MALFORMED] = "malformed" };
    char *rest = apr_pstrdup(unit_pool, text);
    const char *found = "";
    sf_form_parameter parameter;
    sf_form_result result = sf_form_next(&rest, &parameter);

    while (result == SF_FORM_PARAMETER) {
        found = apr_psprintf(unit_pool, "%s[%s|%s]", found, parameter.name, parameter.value);
        result = sf_form_next(&rest, &parameter);
    }
    return apr_pstrcat(unit_pool, found, results[result], NULL);
}

static void decodes_names_and_values(void **state)
{
    static const char *const examples[][2] = {
        { "", "end" },
        { "a=1", "[a|1]end" },
        { "a=1&b=2", "[a|1][b|2]end" },
        { "a=2&a=1&a=2", "[a|2][a|1][a|2]end" },
        { "a", "[a|]end" },
        { "a=", "[a|]end" },
        { "a&b=1", "[a|][b|1]end" },
        { "=1", "[|1]end" },
        { "=", "[|]end" },
        { "&&a=1&&b=2&", "[a|1][b|2]end" },
        { "&", "end" },
        { "a=1=2", "[a|1=2]end" },
        { "a+b=c+d", "[a b|c d]end" },
        { "a%2Bb=%3D%26", "[a+b|=&]end" },
        { "%61=%e2%82%aC", "[a|\xE2\x82\xAC]end" },
        { "%61%62", "[ab|]end" },
        { "a=%ff", "[a|\xFF]end" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        unit_text(examples[i][0], parameters_of(examples[i][0]), examples[i][1]);
    }
}

static void refuses_nul_and_malformed_encodings(void **state)
{
    static const char *const examples[][2] = {
        { "a=%00", "NUL" },
        { "%00=1", "NUL" },
        { "a=1&b=x%00y", "[a|1]NUL" },
        { "a=%", "malformed" },
        { "a=%4", "malformed" },
        { "a=%4g", "malformed" },
        { "%zz=1", "malformed" },
        { "a=1&b=%2", "[a|1]malformed" },
        { "a=%4&b=1", "malformed" },
        { "a%=1", "malformed" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        unit_text(examples[i][0], parameters_of(examples[i][0]), examples[i][1]);
    }
}

static void knows_the_type_of_forms(void **state)
{
    static const struct {
        const char *type;
        int is_form;
    } examples[] = {
        { "application/x-www-form-urlencoded", 1 },
        { "Application/X-WWW-Form-Urlencoded", 1 },
        { "application/x-www-form-urlencoded; charset=UTF-8", 1 },
        { "application/x-www-form-urlencoded;charset=UTF-8", 1 },
        { "application/x-www-form-urlencoded ", 1 },
        { "application/x-www-form-urlencoded-2", 0 },
        { "application/x-www-form-urlencode", 0 },
        { "application/json", 0 },
        { "multipart/form-data; boundary=x", 0 },
        { "", 0 },
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        unit_number(examples[i].type, sf_form_is_type(examples[i].type), examples[i].is_form);
    }
    assert_false(sf_form_is_type(NULL));
}

int unit_form(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_names_and_values),
        cmocka_unit_test(refuses_nul_and_malformed_encodings),
        cmocka_unit_test(knows_the_type_of_forms),
    };

    return cmocka_run_group_tests_name("form", tests, NULL, NULL);
}
