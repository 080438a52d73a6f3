/* runtime/domains/host.c: which hosts are domains, and their labels. */
#include "t/unit/unit.h"

#include "runtime/domains/host.h"

#define TAIL "f.example.com"
#define TEXT_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void finds_the_label_below_the_tail(void **state)
{
    static const char *const cases[][2] = {
        { "shop-1234.f.example.com", "shop-1234" },
        { "SHOP-1234-Dev.F.Example.COM", "shop-1234-dev" },
        { "shop-1234.f.example.com.", "shop-1234" },
        { "0.f.example.com", "0" },
        { TEXT_63 ".f.example.com", TEXT_63 },
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(cases); i++) {
        unit_text(cases[i][0], sf_host_label(unit_pool, cases[i][0], TAIL), cases[i][1]);
    }
}

static void refuses_any_other_host(void **state)
{
    static const char *const hosts[] = {
        "",
        ".",
        "f.example.com",
        ".f.example.com",
        "f.example.com.",
        "xf.example.com",
        "a.f.example.com.uk",
        "a.g.example.com",
        "a.b.f.example.com",
        "a.f.example.com..",
        "-a.f.example.com",
        "a-.f.example.com",
        "a_b.f.example.com",
        "a b.f.example.com",
        "a\xc3\xa9.f.example.com",
        "a%2e.f.example.com",
        "a" TEXT_63 ".f.example.com",
        "127.0.0.1",
        "::1",
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(hosts); i++) {
        unit_text(hosts[i], sf_host_label(unit_pool, hosts[i], TAIL), NULL);
    }
}

int unit_host(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_label_below_the_tail),
        cmocka_unit_test(refuses_any_other_host),
    };

    return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
