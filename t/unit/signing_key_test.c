/* core/crypto/signing_key.c: signing keys of accounts, signing tokens of Services. */
#include "t/unit/unit.h"

#include "core/crypto/signing_key.h"

#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define DIGITS "0123456789abcdef0123456789abcdef"
#define UUID "01234567-89ab-cdef-0123-456789abcdef"

/* HMAC-SHA256 of "ZS" and the digits, under the key's bytes: its first 32 digits. */
static void derives_a_token_for_each_service(void **state)
{
    char token[SF_SIGNING_TOKEN_DIGITS + 1];

    (void)state;
    assert_true(sf_signing_key_token(KEY, DIGITS, token));
    assert_string_equal(token, "d3b1a0ab6820b5ce141e1cd1ed2fdf56");
    assert_true(sf_signing_key_token(KEY, UUID, token));
    assert_string_equal(token, "d3b1a0ab6820b5ce141e1cd1ed2fdf56");
    assert_true(sf_signing_key_token(KEY, "1123456789abcdef0123456789abcdef", token));
    assert_string_equal(token, "0a4361f109dfd12c46f52896e82f2618");
}

static void refuses_what_is_no_key(void **state)
{
    static const char *const keys[]
        = { "", "00", KEY "0", "g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" };
    char token[SF_SIGNING_TOKEN_DIGITS + 1];
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(keys); i++) {
        unit_number(keys[i], sf_signing_key_token(keys[i], DIGITS, token), 0);
    }
}

static void makes_random_keys(void **state)
{
    char keys[2][SF_SIGNING_KEY_DIGITS + 1];
    char token[SF_SIGNING_TOKEN_DIGITS + 1];

    (void)state;
    assert_true(sf_signing_key_make(keys[0]));
    assert_true(sf_signing_key_make(keys[1]));
    assert_string_not_equal(keys[0], keys[1]);
    assert_true(sf_signing_key_token(keys[0], DIGITS, token));
}

static void writes_a_context_of_account_and_key(void **state)
{
    char context[SF_SECRET_CONTEXT];

    (void)state;
    sf_signing_key_context(context, UUID, "1123456789abcdef0123456789abcdef");
    assert_string_equal(context, "AC" DIGITS "/SG1123456789abcdef0123456789abcdef");
}

int unit_signing_key(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derives_a_token_for_each_service),
        cmocka_unit_test(refuses_what_is_no_key),
        cmocka_unit_test(makes_random_keys),
        cmocka_unit_test(writes_a_context_of_account_and_key),
    };

    return cmocka_run_group_tests_name("signing_key", tests, NULL, NULL);
}
