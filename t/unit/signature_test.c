/* runtime/domains/signature.c: the signature of requests to protected paths. The signatures here were made by
 * Twilio's Node.js library. */
#include "t/unit/unit.h"

#include "runtime/domains/signature.h"

#define TOKEN "0123456789abcdef0123456789abcdef"
#define SHOP "shop-8043-dev.example.net"
#define JSON_SHA256 "5041bf1f713df204784353e82f6a4a535931cb64f1f4b4a5aeaffcb720918b22"

typedef struct {
    const char *host;
    const char *target;
    const char *form; /* encoded, or NULL */
    const char *signature;
} example;

static const apr_array_header_t *decode_form(const char *text)
{
    apr_array_header_t *form = apr_array_make(unit_pool, 4, sizeof(sf_form_parameter));
    char *rest = apr_pstrdup(unit_pool, text);
    sf_form_parameter parameter;

    while (sf_form_next(&rest, &parameter) == SF_FORM_PARAMETER) {
        APR_ARRAY_PUSH(form, sf_form_parameter) = parameter;
    }
    return form;
}

static int is_valid(const char *scheme, const example *given, const char *token)
{
    const sf_signed_request request
        = { scheme, given->host, given->target, given->form ? decode_form(given->form) : NULL };

    return sf_signature_is_valid(unit_pool, &request, token, given->signature);
}

static void check_examples(const char *scheme, const example *examples, size_t count, int valid)
{
    size_t i;

    for (i = 0; i < count; i++) {
        unit_number(apr_pstrcat(unit_pool, examples[i].host, examples[i].target, " ",
                                examples[i].form, NULL),
                    is_valid(scheme, &examples[i], TOKEN), valid);
    }
}

static void takes_the_signatures_of_the_library(void **state)
{
    static const example examples[] = {
        { SHOP, "/hook?b=2&a=1", NULL, "ypPy2ec2OIngIHt1CzrRMgIwS7I=" },
        { SHOP, "/hook", "To=%2B1&From=%2B2&Body=hi+there", "fJgMTZUXp2TRHij6m8oPtQ/kh3U=" },
        { SHOP, "/hook", "Body=hi%20there&From=%2b2&To=%2B1", "fJgMTZUXp2TRHij6m8oPtQ/kh3U=" },
        { SHOP, "/hook", "a=2&a=1&a=2", "VcGqj2JQum0lGJwe/bgdK6M5sLY=" },
        { SHOP, "/hook?bodySHA256=" JSON_SHA256, NULL, "yBaqx+D5s3/oW/AgjVq125YciNs=" },
        { SHOP, "/hook", "b=3&a=2&ab=&A=1", "s25kPmXelab5xKpsI6wmE/LUNH4=" },
        { SHOP, "/hook", "=v&a", "ew9DCM1SFy1nwK+an2dg6WUSdFo=" },
        { "h.example.net", "/x", NULL, "nP5w6ca40H3/Yqr8sEbLN19buHo=" },
        { "h.example.net", "/x", "", "nP5w6ca40H3/Yqr8sEbLN19buHo=" },
        { "h.example.net", "/caf%C3%A9?q=%2F+%27", NULL, "9FB8+BZdSWmS06+FKJ9rM58qKsM=" },
        { "[2001:db8::1]", "/x", NULL, "ifdKRWrya4Zj61pkb90jcNN5gzQ=" },
    };

    (void)state;
    check_examples("https", examples, UNIT_COUNT(examples), 1);
}

static void takes_the_url_with_its_port_and_without(void **state)
{
    static const example https[] = {
        { "h.example.net:443", "/x", NULL, "nP5w6ca40H3/Yqr8sEbLN19buHo=" },
        { "h.example.net", "/x", NULL, "bGLprvreu821AEmE/yhv/wQ8P20=" },
        { "h.example.net:443", "/x", NULL, "bGLprvreu821AEmE/yhv/wQ8P20=" },
        { "h.example.net:8443", "/x", NULL, "nP5w6ca40H3/Yqr8sEbLN19buHo=" },
        { "h.example.net:8443", "/x", NULL, "UxUX7vdjwAuvV45kxZL0UeT6yIk=" },
        { "[2001:db8::1]:8443", "/x", NULL, "ifdKRWrya4Zj61pkb90jcNN5gzQ=" },
    };
    static const example http[] = {
        { "h.example.net", "/x", NULL, "7jQKybw/BrhP8wE0hV3yC4KMCWI=" },
        { "h.example.net", "/x", NULL, "cNOaqztNk3cf/vTIlPyPGLkVnnk=" },
    };

    (void)state;
    check_examples("https", https, UNIT_COUNT(https), 1);
    check_examples("http", http, UNIT_COUNT(http), 1);
    check_examples("http", https, UNIT_COUNT(https), 0);
    check_examples("https", http, UNIT_COUNT(http), 0);
}

/* Clients sort by UTF-16 code units: characters beyond U+FFFF come before U+E000. */
static void sorts_by_utf16_code_units(void **state)
{
    static const example examples[] = {
        { SHOP, "/hook", "%F0%90%80%80=x&%EF%BF%BD=y&%EE%80%80=z&%ED%9F%BF=w&a=v&B=u",
          "giuGfx9zXpbKRGiq0BZ+x3KLGMM=" },
        { SHOP, "/hook", "n=%EF%BF%BD&n=%F0%9F%98%80&n=%C3%A9", "WuX39v1BLwfp9Kebjko8ljjrBho=" },
    };

    (void)state;
    check_examples("https", examples, UNIT_COUNT(examples), 1);
}

static void refuses_another_request(void **state)
{
    static const example examples[] = {
        { SHOP, "/hook?a=1&b=2", NULL, "ypPy2ec2OIngIHt1CzrRMgIwS7I=" },
        { SHOP, "/hook?b=2&a=1&", NULL, "ypPy2ec2OIngIHt1CzrRMgIwS7I=" },
        { SHOP, "/Hook?b=2&a=1", NULL, "ypPy2ec2OIngIHt1CzrRMgIwS7I=" },
        { "shop-8043.example.net", "/hook?b=2&a=1", NULL, "ypPy2ec2OIngIHt1CzrRMgIwS7I=" },
        { SHOP, "/hook", "To=%2B1&From=%2B2&Body=hi", "fJgMTZUXp2TRHij6m8oPtQ/kh3U=" },
        { SHOP, "/hook", "To=%2B1&From=%2B2", "fJgMTZUXp2TRHij6m8oPtQ/kh3U=" },
        { SHOP, "/hook", "To=%2B1&From=%2B2&Body=hi+there&x=1", "fJgMTZUXp2TRHij6m8oPtQ/kh3U=" },
        { SHOP, "/hook", NULL, "fJgMTZUXp2TRHij6m8oPtQ/kh3U=" },
        { "h.example.net:8444", "/x", NULL, "UxUX7vdjwAuvV45kxZL0UeT6yIk=" },
    };

    (void)state;
    check_examples("https", examples, UNIT_COUNT(examples), 0);
}

static void refuses_another_signature(void **state)
{
    static const char *const signatures[] = {
        "",
        "=",
        "xpPy2ec2OIngIHt1CzrRMgIwS7I=",  /* the first character differs */
        "ypPy2ec2OIngIHt1CzrRMgIwS7J=",  /* the last one */
        "ypPy2ec2OIngIHt1CzrRMgIwS7I",   /* no padding */
        "ypPy2ec2OIngIHt1CzrRMgIwS7I==", /* too long */
        "ypPy2ec2OIngIHt1CzrRMgIwS7I= ",
        "ypPy2ec2OIngIHt1CzrRMgIwS7I=\n",
        "ypPy2ec2OIngIHt1CzrRMgIwS7I=ypPy2ec2OIngIHt1CzrRMgIwS7I=",
        "ca93f2d9e7363889e0207b750b3ad132023 04bb2",
        "\xC3\xA9pPy2ec2OIngIHt1CzrRMgIwS7I=",
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(signatures); i++) {
        const example given = { SHOP, "/hook?b=2&a=1", NULL, signatures[i] };

        unit_number(signatures[i], is_valid("https", &given, TOKEN), 0);
    }
}

static void depends_on_the_token(void **state)
{
    const example given = { SHOP, "/hook?b=2&a=1", NULL, "ypPy2ec2OIngIHt1CzrRMgIwS7I=" };
    const example long_token = { SHOP, "/hook", NULL, "FuV0tSos0c623D7MARidwn5+L2s=" };
    const example no_token = { "h.example.net", "/x", NULL, "K8YIDFGvlOSXVGPBE68kEO4T+7E=" };
    char token[451] = "";

    (void)state;
    memset(token, 't', sizeof(token) - 1);
    assert_true(is_valid("https", &given, TOKEN));
    assert_false(is_valid("https", &given, "0123456789abcdef0123456789abcdeF"));
    assert_false(is_valid("https", &given, "0123456789abcdef0123456789abcde"));
    assert_true(is_valid("https", &long_token, token));
    assert_false(is_valid("https", &no_token, ""));
}

static void reads_the_hash_of_a_body(void **state)
{
    static const struct {
        const char *query;
        const char *hash;
    } examples[] = {
        { "bodySHA256=" JSON_SHA256, JSON_SHA256 },
        { "a=1&bodySHA256=" JSON_SHA256 "&b=2", JSON_SHA256 },
        { "a=bodySHA256=x&bodySHA256=" JSON_SHA256, JSON_SHA256 },
        { "bodySHA256=" JSON_SHA256 "&bodySHA256=x", JSON_SHA256 },
        { "bodySHA256=x&bodySHA256=" JSON_SHA256, "" },
        { "bodySHA256=5041BF1F713DF204784353E82F6A4A535931CB64F1F4B4A5AEAFFCB720918B22",
          "5041BF1F713DF204784353E82F6A4A535931CB64F1F4B4A5AEAFFCB720918B22" },
        { "bodySHA256=", "" },
        { "bodySHA256", NULL },
        { "bodySHA256=" JSON_SHA256 "0", "" },
        { "bodySHA256=5041bf1f713df204784353e82f6a4a535931cb64f1f4b4a5aeaffcb720918b2", "" },
        { "bodySHA256=g041bf1f713df204784353e82f6a4a535931cb64f1f4b4a5aeaffcb720918b22", "" },
        { "bodysha256=" JSON_SHA256, NULL },
        { "xbodySHA256=" JSON_SHA256, NULL },
        { "", NULL },
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        unit_text(examples[i].query, sf_signature_body_sha256(unit_pool, examples[i].query),
                  examples[i].hash);
    }
}

int unit_signature(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_signatures_of_the_library),
        cmocka_unit_test(takes_the_url_with_its_port_and_without),
        cmocka_unit_test(sorts_by_utf16_code_units),
        cmocka_unit_test(refuses_another_request),
        cmocka_unit_test(refuses_another_signature),
        cmocka_unit_test(depends_on_the_token),
        cmocka_unit_test(reads_the_hash_of_a_body),
    };

    return cmocka_run_group_tests_name("signature", tests, NULL, NULL);
}
