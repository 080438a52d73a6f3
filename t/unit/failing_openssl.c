/* OpenSSL's functions for hashes, of which one fails: t/faults.t preloads this into an httpd. The file
 * that FAILING_OPENSSL names has the function's name in it; where there is none, all is well. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fails(const char *function)
{
    FILE *file = fopen(getenv("FAILING_OPENSSL"), "r");
    char name[64] = "";

    if (file) {
        if (!fgets(name, sizeof(name), file)) {
            *name = '\0';
        }
        fclose(file);
    }
    return strcmp(name, function) == 0;
}

static void *real(const char *function)
{
    return dlsym(RTLD_NEXT, function);
}

EVP_MD_CTX *EVP_MD_CTX_new(void)
{
    EVP_MD_CTX *(*own)(void) = real(__func__);

    return fails(__func__) ? NULL : own();
}

int EVP_DigestInit_ex(EVP_MD_CTX *context, const EVP_MD *type, ENGINE *engine)
{
    int (*own)(EVP_MD_CTX *, const EVP_MD *, ENGINE *) = real(__func__);

    return fails(__func__) ? 0 : own(context, type, engine);
}

int EVP_DigestUpdate(EVP_MD_CTX *context, const void *bytes, size_t size)
{
    int (*own)(EVP_MD_CTX *, const void *, size_t) = real(__func__);

    return fails(__func__) ? 0 : own(context, bytes, size);
}

int EVP_DigestFinal_ex(EVP_MD_CTX *context, unsigned char *digest, unsigned int *size)
{
    int (*own)(EVP_MD_CTX *, unsigned char *, unsigned int *) = real(__func__);

    return fails(__func__) ? 0 : own(context, digest, size);
}
