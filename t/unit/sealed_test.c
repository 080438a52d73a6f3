/* core/crypto/sealed.c: encrypted values. */
#include "t/unit/unit.h"

#include "core/crypto/sealed.h"

/* A keyring of keys "k1", "k2", ..., whose bytes are all 1, 2, ... */
static const sf_keyring *keyring(int count)
{
    sf_keyring *keys = apr_pcalloc(unit_pool, sizeof(*keys));

    for (keys->count = 0; keys->count < count; keys->count++) {
        sf_encryption_key *key = &keys->key[keys->count];

        apr_snprintf(key->id, sizeof(key->id), "k%d", keys->count + 1);
        memset(key->bytes, keys->count + 1, sizeof(key->bytes));
    }
    return keys;
}

static void opens_what_was_sealed(void **state)
{
    static const char *const texts[] = { "", "x", "caf\xC3\xA9" };
    const sf_keyring *keys = keyring(2);
    char text[SF_SECRET_MAX + 1];
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(texts); i++) {
        const char *sealed = sf_sealed_make(unit_pool, &keys->key[1], "context", texts[i]);

        unit_number(texts[i], strncmp(sealed, "k2:", 3), 0);
        unit_number(texts[i], (apr_int64_t)strlen(sealed),
                    (apr_int64_t)(3 + 2 * (12 + strlen(texts[i]) + 16)));
        assert_null(sf_sealed_open(keys, "context", sealed, text));
        unit_text(texts[i], text, texts[i]);
    }
}

static void seals_450_bytes_and_no_more(void **state)
{
    const sf_keyring *keys = keyring(1);
    char longest[SF_SECRET_MAX + 2] = "";
    char text[SF_SECRET_MAX + 1];

    (void)state;
    memset(longest, 'x', SF_SECRET_MAX + 1);
    assert_null(sf_sealed_make(unit_pool, &keys->key[0], "context", longest));
    longest[SF_SECRET_MAX] = '\0';
    assert_null(sf_sealed_open(keys, "context",
                               sf_sealed_make(unit_pool, &keys->key[0], "context", longest), text));
    assert_string_equal(text, longest);
}

static void seals_each_time_differently(void **state)
{
    const sf_keyring *keys = keyring(1);

    (void)state;
    assert_string_not_equal(sf_sealed_make(unit_pool, &keys->key[0], "context", "text"),
                            sf_sealed_make(unit_pool, &keys->key[0], "context", "text"));
}

static void refuses_anything_else(void **state)
{
    static const char damaged[] = "it is not what was written there";
    static const char unknown[] = "the key is not known";
    const sf_keyring *keys = keyring(2);
    char *sealed
        = apr_pstrdup(unit_pool, sf_sealed_make(unit_pool, &keys->key[1], "context", "text"));
    char *last = sealed + strlen(sealed) - 1;
    char text[SF_SECRET_MAX + 1];

    (void)state;
    assert_string_equal(sf_sealed_open(keys, "another context", sealed, text), damaged);
    assert_string_equal(sf_sealed_open(keyring(1), "context", sealed, text), unknown);
    sealed[1] = '1'; /* the id of the other key */
    assert_string_equal(sf_sealed_open(keys, "context", sealed, text), damaged);
    sealed[1] = '2';
    *last = *last == '0' ? '1' : '0';
    assert_string_equal(sf_sealed_open(keys, "context", sealed, text), damaged);
    assert_string_equal(sf_sealed_open(keys, "context", "k1:00", text), damaged);
    assert_string_equal(sf_sealed_open(keys, "context", "k1:", text), damaged);
    assert_string_equal(sf_sealed_open(keys, "context", "k1", text), damaged);
    assert_string_equal(sf_sealed_open(keys, "context", "", text), unknown);
}

int unit_sealed(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_what_was_sealed),
        cmocka_unit_test(seals_450_bytes_and_no_more),
        cmocka_unit_test(seals_each_time_differently),
        cmocka_unit_test(refuses_anything_else),
    };

    return cmocka_run_group_tests_name("sealed", tests, NULL, NULL);
}
