/* Licensed under the Apache License, Version 2.0; see LICENSE.
 *
 * serverless-crypt: encrypts and decrypts for serverless-admin, which is a shell script. Secrets are read from
 * standard input and written to standard output; arguments, which other users can see, are none. */
#include "core/crypto/keyring.h"
#include "core/crypto/sealed.h"
#include "core/crypto/signing_key.h"

#include <apr_general.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a sealed value as text, its NUL included. */
#define SEALED_SIZE 2048

enum { DONE, FAILED, WRONG_USAGE };

static const char usage[]
    = "Usage: serverless-crypt new-signing-key FILE ACCOUNT_ID KEY_ID\n"
      "       serverless-crypt signing-token FILE ACCOUNT_ID KEY_ID SERVICE_ID\n"
      "\n"
      "new-signing-key makes a signing key and prints it, encrypted with the first key\n"
      "of FILE. signing-token reads such an encrypted key from standard input and\n"
      "prints the signing token of a Service. FILE is the file that the directive\n"
      "ServerlessVariableKeys names. serverless-admin runs this program.\n";

static int fail(const char *subject, const char *message)
{
    (void)fprintf(stderr, "serverless-crypt: %s %s\n", subject, message);
    return FAILED;
}

static int print_line(const char *text)
{
    return puts(text) >= 0 && fflush(stdout) == 0 ? DONE
                                                  : fail("standard output", "cannot be written");
}

static int new_signing_key(apr_pool_t *pool, const sf_keyring *keys, char **ids)
{
    char context[SF_SECRET_CONTEXT];
    char key[SF_SIGNING_KEY_DIGITS + 1];
    const char *sealed = NULL;

    sf_signing_key_context(context, ids[0], ids[1]);
    if (sf_signing_key_make(key)) {
        sealed = sf_sealed_make(pool, &keys->key[0], context, key);
    }
    OPENSSL_cleanse(key, sizeof(key));
    return sealed ? print_line(sealed) : fail("OpenSSL", "cannot make a key");
}

static int signing_token(apr_pool_t *pool, const sf_keyring *keys, char **ids)
{
    char context[SF_SECRET_CONTEXT];
    char sealed[SEALED_SIZE] = "";
    char key[SF_SECRET_MAX + 1];
    char token[SF_SIGNING_TOKEN_DIGITS + 1];
    const char *message;
    int status;

    (void)pool;
    sf_signing_key_context(context, ids[0], ids[1]);
    if (!fgets(sealed, sizeof(sealed), stdin)) {
        return fail("standard input", "has no signing key");
    }
    sealed[strcspn(sealed, "\n")] = '\0';
    message = sf_sealed_open(keys, context, sealed, key);
    if (message) {
        return fail("the signing key cannot be decrypted:", message);
    }
    status = sf_signing_key_token(key, ids[2], token) ? print_line(token)
                                                      : fail("OpenSSL", "cannot make a token");
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(token, sizeof(token));
    return status;
}

static const struct {
    const char *name;
    int ids; /* arguments behind the file */
    int (*run)(apr_pool_t *pool, const sf_keyring *keys, char **ids);
} commands[] = {
    { "new-signing-key", 2, new_signing_key },
    { "signing-token", 3, signing_token },
};

/* Whether the text is a uuid, with or without hyphens. */
static int is_id(const char *text)
{
    char sid[SF_SID_LENGTH + 1];

    sf_sid_write(sid, "ZS", text);
    return strlen(sid) == SF_SID_LENGTH
           && strspn(sid + SF_SID_PREFIX, "0123456789abcdef") == SF_SID_DIGITS;
}

static int are_ids(char **ids, int count)
{
    while (count > 0 && is_id(ids[count - 1])) {
        count--;
    }
    return count == 0;
}

static int run(apr_pool_t *pool, int count, char **arguments)
{
    const sf_keyring *keys;
    const char *message;
    size_t i;

    for (i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        if (count == commands[i].ids + 3 && strcmp(arguments[1], commands[i].name) == 0
            && are_ids(arguments + 3, commands[i].ids)) {
            message = sf_keyring_read(pool, arguments[2], &keys);
            return message ? fail(arguments[2], message)
                           : commands[i].run(pool, keys, arguments + 3);
        }
    }
    (void)fputs(usage, stderr);
    return WRONG_USAGE;
}

int main(int count, char **arguments)
{
    apr_pool_t *pool;
    int status;

    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return fail("APR", "cannot be initialized");
    }
    status = run(pool, count, arguments);
    apr_pool_destroy(pool);
    apr_terminate();
    return status;
}
