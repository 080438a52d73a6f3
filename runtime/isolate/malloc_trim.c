/* A module of Node.js: a function without parameters that gives the pages of malloc() that are free back to the system, as
 * free() alone does only for those at an arena's end. Collecting garbage and compiling leave some megabytes of them.
 *
 * Node-API is declared here as far as it is used: the headers of Node.js need not be installed. Its binary interface is
 * the same in all releases of Node.js. */
#include <stddef.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

typedef struct napi_environment *napi_env;
typedef struct napi_object *napi_value;
typedef struct napi_call *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);

#define NAPI_OK 0

int napi_create_function(napi_env env, const char *name, size_t length, napi_callback function,
                         void *data, napi_value *result);

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env,
                                                                          napi_value exports);

/* Called from JavaScript. Does nothing with another C library than glibc. NULL is undefined. */
static napi_value trim(napi_env env, napi_callback_info info)
{
    (void)env;
    (void)info;
#ifdef __GLIBC__
    malloc_trim(0);
#endif
    return NULL;
}

/* Called by Node.js as it loads the module. Returns the module: the function. */
napi_value napi_register_module_v1(napi_env env, napi_value exports)
{
    napi_value function;

    return napi_create_function(env, NULL, 0, trim, NULL, &function) == NAPI_OK ? function
                                                                                : exports;
}
