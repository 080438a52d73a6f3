#include "core/crypto/keyring.h"

#include <apr_encode.h>
#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_user.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

/* The most bytes of the file, comments included. */
#define FILE_BYTES 16384

#define KEY_DIGITS (2 * SF_KEY_BYTES)

#define GROUP_OR_OTHERS                                                                            \
    (APR_FPROT_GREAD | APR_FPROT_GWRITE | APR_FPROT_GEXECUTE | APR_FPROT_WREAD | APR_FPROT_WWRITE  \
     | APR_FPROT_WEXECUTE)


/* The file ------------------------------------------------------------------------------------ */

/* Checks that only httpd's administrator may read and write the file: with its keys, all values
 * can be decrypted. Returns NULL or an error message, as all functions of this file do. */
static const char *check_access(apr_pool_t *pool, apr_file_t *file)
{
    apr_finfo_t found;
    apr_uid_t user;
    apr_gid_t group;

    if (apr_file_info_get(&found, APR_FINFO_TYPE | APR_FINFO_PROT | APR_FINFO_USER, file)
        || apr_uid_current(&user, &group, pool)) {
        return "cannot be examined";
    }
    if (found.filetype != APR_REG) {
        return "is not a file";
    }
    if (found.protection & GROUP_OR_OTHERS) {
        return "must not be open to group or others (chmod 600)";
    }
    if (found.user != 0 && found.user != user) {
        return "must belong to root or to the user who starts httpd";
    }
    return NULL;
}

static const char *read_open(apr_pool_t *pool, apr_file_t *file, char text[FILE_BYTES + 1])
{
    const char *message = check_access(pool, file);
    apr_size_t length = 0;
    apr_status_t rv;

    if (message) {
        return message;
    }
    rv = apr_file_read_full(file, text, FILE_BYTES + 1, &length);
    if (rv != APR_EOF) {
        return rv == APR_SUCCESS ? "is too long" : "cannot be read";
    }
    text[length] = '\0';
    return strlen(text) == length ? NULL : "is not a text file";
}

/* Without blocking: the path may be a named pipe. */
#define OPEN_FLAGS (APR_FOPEN_READ | APR_FOPEN_NONBLOCK)

static const char *read_file(apr_pool_t *pool, const char *path, char text[FILE_BYTES + 1])
{
    apr_file_t *file;
    apr_status_t rv = apr_file_open(&file, path, OPEN_FLAGS, APR_FPROT_OS_DEFAULT, pool);
    const char *message;
    char reason[128];

    if (rv != APR_SUCCESS) {
        return apr_psprintf(pool, "cannot be opened: %s", apr_strerror(rv, reason, sizeof(reason)));
    }
    message = read_open(pool, file, text);
    apr_file_close(file);
    return message;
}


/* The lines ----------------------------------------------------------------------------------- */

static apr_size_t id_length(const char *text)
{
    apr_size_t length = 0;

    while (apr_isalnum(text[length]) || text[length] == '-' || text[length] == '_') {
        length++;
    }
    return length;
}

static const char *after_space(const char *text)
{
    while (apr_isspace(*text)) {
        text++;
    }
    return text;
}

/* Derives a key for another purpose, which reveals nothing of `key` itself. Returns 0 where
 * OpenSSL fails. */
static int derive_key(const unsigned char key[SF_KEY_BYTES], const char *purpose,
                      unsigned char derived[SF_KEY_BYTES])
{
    return HMAC(EVP_sha256(), key, SF_KEY_BYTES, (const unsigned char *)purpose, strlen(purpose),
                derived, NULL)
           != NULL;
}

/* Adds the key of the line at `id`. Returns NULL or an error message about the line. */
static const char *add_key(sf_keyring *keys, const char *id)
{
    const apr_size_t length = id_length(id);
    const char *digits = after_space(id + length);
    sf_encryption_key *key = &keys->key[keys->count];

    if (length == 0 || length > SF_KEY_ID_MAX || digits == id + length
        || strspn(digits, "0123456789abcdefABCDEF") != KEY_DIGITS
        || *after_space(digits + KEY_DIGITS)) {
        return "is not a key id, a space and 64 hex digits";
    }
    if (sf_keyring_find(keys, id, length)) {
        return "has a key id that is there already";
    }
    if (keys->count == SF_KEYRING_MAX) {
        return "is one key too many";
    }
    apr_cpystrn(key->id, id, length + 1);
    apr_decode_base16_binary(key->bytes, digits, KEY_DIGITS, APR_ENCODE_NONE, NULL);
    if (!derive_key(key->bytes, "fingerprints of values", key->fingerprint)) {
        return "is a key that OpenSSL derives no other from";
    }
    keys->count++;
    return NULL;
}

static const char *parse_lines(apr_pool_t *pool, char *text, sf_keyring *keys)
{
    int number;

    for (number = 1; text; number++) {
        char *end = strchr(text, '\n');
        const char *line;
        const char *message;

        if (end) {
            *end++ = '\0';
        }
        line = after_space(text);
        message = *line && *line != '#' ? add_key(keys, line) : NULL;
        if (message) {
            return apr_psprintf(pool, "line %d %s", number, message);
        }
        text = end;
    }
    return keys->count > 0 ? NULL : "has no key";
}

static apr_status_t wipe_keys(void *keys)
{
    OPENSSL_cleanse(keys, sizeof(sf_keyring));
    return APR_SUCCESS;
}

const char *sf_keyring_read(apr_pool_t *pool, const char *path, const sf_keyring **keys)
{
    sf_keyring *found = apr_pcalloc(pool, sizeof(*found));
    char text[FILE_BYTES + 1] = "";
    const char *message;

    apr_pool_cleanup_register(pool, found, wipe_keys, apr_pool_cleanup_null);
    message = read_file(pool, path, text);
    if (!message) {
        message = parse_lines(pool, text, found);
    }
    OPENSSL_cleanse(text, sizeof(text));
    *keys = found;
    return message;
}

const sf_encryption_key *sf_keyring_find(const sf_keyring *keys, const char *id, apr_size_t length)
{
    int i;

    for (i = 0; i < keys->count; i++) {
        if (strlen(keys->key[i].id) == length && memcmp(keys->key[i].id, id, length) == 0) {
            return &keys->key[i];
        }
    }
    return NULL;
}
