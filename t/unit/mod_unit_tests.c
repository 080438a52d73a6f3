/* Runs the unit tests in httpd: "httpd -t" reads a configuration that loads this module and, from the same
 * file, mod_serverless_functions, and calls the hook test_config below. httpd then exits with status 0 where
 * all tests passed, else with 1.
 *
 * The environment variable UNIT names one subject; without it all of them run. cmocka's own variables apply,
 * such as CMOCKA_MESSAGE_OUTPUT=TAP. t/unit.t runs each subject in a process of its own. */
#include "t/unit/unit.h"

#include "t/unit/subjects.h"

#include <http_core.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern module AP_MODULE_DECLARE_DATA serverless_functions_module;
module AP_MODULE_DECLARE_DATA unit_tests_module __attribute__((visibility("default")));

apr_pool_t *unit_pool;

static server_rec *main_server;

#define DECLARE(name) int unit_##name(void);
UNIT_SUBJECTS(DECLARE)

#define LIST(name) { #name, unit_##name },
static const struct {
    const char *name;
    int (*run)(void); /* returns the number of failed tests */
} subjects[] = { UNIT_SUBJECTS(LIST) };

request_rec *unit_request(const char *args, sf_dir_config **config)
{
    request_rec *r = apr_pcalloc(unit_pool, sizeof(*r));
    sf_dir_config *location = sf_config_create_dir(unit_pool, NULL);

    r->pool = unit_pool;
    r->server = main_server;
    r->method = "GET";
    r->method_number = M_GET;
    r->args = args ? apr_pstrdup(unit_pool, args) : NULL;
    r->headers_in = apr_table_make(unit_pool, 4);
    r->headers_out = apr_table_make(unit_pool, 4);
    r->err_headers_out = apr_table_make(unit_pool, 4);
    r->request_config = ap_create_request_config(unit_pool);
    r->per_dir_config = ap_create_request_config(unit_pool); /* all vectors are of one size */
    location->enabled = 1;
    ap_set_module_config(r->per_dir_config, &serverless_functions_module, location);
    if (config) {
        *config = location;
    }
    return r;
}

void unit_text(const char *input, const char *actual, const char *expected)
{
    const int equal = actual && expected ? strcmp(actual, expected) == 0 : actual == expected;

    if (!equal) {
        fail_msg("\"%s\" gives \"%s\", expected \"%s\"", input, actual ? actual : "(NULL)",
                 expected ? expected : "(NULL)");
    }
}

void unit_number(const char *input, apr_int64_t actual, apr_int64_t expected)
{
    if (actual != expected) {
        fail_msg("\"%s\" gives %" APR_INT64_T_FMT ", expected %" APR_INT64_T_FMT, input, actual,
                 expected);
    }
}

static void test_config(apr_pool_t *pool, server_rec *s)
{
    const char *only = getenv("UNIT");
    int found = 0;
    int failed = 0;
    size_t i;

    main_server = s;
    for (i = 0; i < UNIT_COUNT(subjects); i++) {
        if (only && strcmp(only, subjects[i].name) != 0) {
            continue;
        }
        found = 1;
        apr_pool_create(&unit_pool, pool);
        failed += subjects[i].run();
        apr_pool_destroy(unit_pool);
    }
    if (!found) {
        fprintf(stderr, "no subject %s\n", only);
    }
    fflush(stdout);
    exit(found && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void register_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_test_config(test_config, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(unit_tests) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, AP_MODULE_FLAG_NONE,
};
