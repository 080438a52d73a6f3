/* core/crypto/keyring.c: the file with the keys that Variables are encrypted with. */
#include "t/unit/unit.h"

#include "core/crypto/keyring.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGITS "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER_DIGITS "FFEEDDCCBBAA99887766554433221100ffeeddccbbaa99887766554433221100"

/* Reads a file with this content and mode. */
static const char *read_text(const char *text, apr_size_t length, mode_t mode,
                             const sf_keyring **keys)
{
    char path[] = P_tmpdir "/unit-keyring-XXXXXX";
    const int file = mkstemp(path);
    const char *error;

    assert_true(file >= 0);
    assert_int_equal(write(file, text, length), length);
    close(file);
    assert_int_equal(chmod(path, mode), 0);
    error = sf_keyring_read(unit_pool, path, keys);
    unlink(path);
    return error;
}

static const char *read_private(const char *text, const sf_keyring **keys)
{
    return read_text(text, strlen(text), 0600, keys);
}

static void reads_keys_in_order(void **state)
{
    const sf_keyring *keys;

    (void)state;
    assert_null(read_private("# the new one\n"
                             "2026-new " DIGITS "\n"
                             "\n"
                             "  old_1\t" OTHER_DIGITS "  \r\n",
                             &keys));
    assert_int_equal(keys->count, 2);
    assert_string_equal(keys->key[0].id, "2026-new");
    assert_int_equal(keys->key[0].bytes[0], 0x00);
    assert_int_equal(keys->key[0].bytes[31], 0x1F);
    assert_string_equal(keys->key[1].id, "old_1");
    assert_int_equal(keys->key[1].bytes[0], 0xFF);
}

static void needs_no_newline_at_the_end(void **state)
{
    const sf_keyring *keys;

    (void)state;
    assert_null(read_private("k " DIGITS, &keys));
    assert_int_equal(keys->count, 1);
}

static void finds_a_key_by_its_whole_id(void **state)
{
    const sf_keyring *keys;

    (void)state;
    assert_null(read_private("ab " DIGITS "\nabc " OTHER_DIGITS "\n", &keys));
    assert_ptr_equal(sf_keyring_find(keys, "ab", 2), &keys->key[0]);
    assert_ptr_equal(sf_keyring_find(keys, "abc:rest", 3), &keys->key[1]);
    assert_null(sf_keyring_find(keys, "a", 1));
    assert_null(sf_keyring_find(keys, "abcd", 4));
    assert_null(sf_keyring_find(keys, "", 0));
}

static void derives_a_fingerprint_key_of_each_key(void **state)
{
    const sf_keyring *keys;
    const sf_keyring *again;

    (void)state;
    assert_null(read_private("a " DIGITS "\nb " OTHER_DIGITS "\n", &keys));
    assert_null(read_private("c " DIGITS "\n", &again));
    assert_memory_not_equal(keys->key[0].fingerprint, keys->key[0].bytes, SF_KEY_BYTES);
    assert_memory_not_equal(keys->key[0].fingerprint, keys->key[1].fingerprint, SF_KEY_BYTES);
    assert_memory_equal(keys->key[0].fingerprint, again->key[0].fingerprint, SF_KEY_BYTES);
}

static void names_the_line_that_is_wrong(void **state)
{
    static const struct {
        const char *text;
        const char *error;
    } examples[] = {
        { "", "has no key" },
        { "# nothing\n\n", "has no key" },
        { "k " DIGITS "\nk " OTHER_DIGITS "\n", "line 2 has a key id that is there already" },
        { "k\n", "line 1 is not a key id, a space and 64 hex digits" },
        { "k" DIGITS "\n", "line 1 is not a key id, a space and 64 hex digits" },
        { "\n\nk " DIGITS "0\n", "line 3 is not a key id, a space and 64 hex digits" },
        { "k " DIGITS " x\n", "line 1 is not a key id, a space and 64 hex digits" },
        { "k. " DIGITS "\n", "line 1 is not a key id, a space and 64 hex digits" },
        { "abcdefghijklmnopqrstuvwxyz0123456 " DIGITS "\n",
          "line 1 is not a key id, a space and 64 hex digits" }, /* 33 characters */
    };
    const sf_keyring *keys;
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        unit_text(examples[i].text, read_private(examples[i].text, &keys), examples[i].error);
    }
}

static void takes_sixteen_keys(void **state)
{
    const sf_keyring *keys;
    char *text = apr_pstrdup(unit_pool, "");
    int i;

    (void)state;
    for (i = 1; i <= SF_KEYRING_MAX; i++) {
        text = apr_psprintf(unit_pool, "%sk%d %s\n", text, i, DIGITS);
    }
    assert_null(read_private(text, &keys));
    assert_int_equal(keys->count, 16);
    text = apr_pstrcat(unit_pool, text, "k17 ", DIGITS, NULL);
    assert_string_equal(read_private(text, &keys), "line 17 is one key too many");
}

static void refuses_files_that_are_no_key_files(void **state)
{
    static const char long_text[16385] = { [0 ... 16383] = '#' };
    const sf_keyring *keys;

    (void)state;
    assert_string_equal(read_text("k\0", 2, 0600, &keys), "is not a text file");
    assert_string_equal(read_private(long_text + 1, &keys), "has no key");
    assert_string_equal(read_text(long_text, sizeof(long_text), 0600, &keys), "is too long");
    assert_string_equal(sf_keyring_read(unit_pool, "/", &keys), "is not a file");
    assert_string_equal(sf_keyring_read(unit_pool, "/nowhere/keys", &keys),
                        "cannot be opened: No such file or directory");
}

static void refuses_files_that_are_open_to_others(void **state)
{
    static const mode_t modes[] = { 0640, 0620, 0610, 0604, 0602, 0601 };
    const char *text = "k " DIGITS "\n";
    const sf_keyring *keys;
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(modes); i++) {
        unit_text(apr_psprintf(unit_pool, "mode %o", (unsigned)modes[i]),
                  read_text(text, strlen(text), modes[i], &keys),
                  "must not be open to group or others (chmod 600)");
    }
    assert_null(read_text(text, strlen(text), 0400, &keys));
}

int unit_keyring(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_keys_in_order),
        cmocka_unit_test(needs_no_newline_at_the_end),
        cmocka_unit_test(finds_a_key_by_its_whole_id),
        cmocka_unit_test(derives_a_fingerprint_key_of_each_key),
        cmocka_unit_test(names_the_line_that_is_wrong),
        cmocka_unit_test(takes_sixteen_keys),
        cmocka_unit_test(refuses_files_that_are_no_key_files),
        cmocka_unit_test(refuses_files_that_are_open_to_others),
    };

    return cmocka_run_group_tests_name("keyring", tests, NULL, NULL);
}
