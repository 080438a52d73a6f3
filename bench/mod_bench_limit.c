/* What httpd itself can do, for the benchmark: answers /NUMBER with that many bytes, without a
 * database, without a walk through the file system and without authentication. Besides, a provider
 * for mod_auth_basic that lets everybody in and costs nothing. */
#include <httpd.h>

#include <ap_provider.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_auth.h>
#include <string.h>

module AP_MODULE_DECLARE_DATA bench_limit_module __attribute__((visibility("default")));

#define HANDLER "bench-limit"
#define LENGTH_MAX (1024 * 1024)

static char body[LENGTH_MAX];

/* The length that the path asks for, or -1 where it is none of ours. */
static apr_int64_t length_of(const request_rec *r)
{
    char *end;
    const apr_int64_t length = *r->uri == '/' ? apr_strtoi64(r->uri + 1, &end, 10) : -1;

    return length > 0 && length <= LENGTH_MAX && !*end ? length : -1;
}

static int translate_name(request_rec *r)
{
    if (length_of(r) < 0) {
        return DECLINED;
    }
    r->handler = HANDLER;
    r->filename = "";
    return OK;
}

static int map_to_storage(request_rec *r)
{
    return r->handler && strcmp(r->handler, HANDLER) == 0 ? OK : DECLINED;
}

static int handler(request_rec *r)
{
    const int length = (int)length_of(r);

    if (!r->handler || strcmp(r->handler, HANDLER) != 0) {
        return DECLINED;
    }
    ap_set_content_type(r, "application/json");
    ap_set_content_length(r, length);
    ap_rwrite(body, length, r);
    return OK;
}

static authn_status let_in(request_rec *r, const char *user, const char *password)
{
    (void)r;
    (void)user;
    (void)password;
    return AUTH_GRANTED;
}

static void register_hooks(apr_pool_t *pool)
{
    static const authn_provider provider = { let_in, NULL };

    memset(body, 'x', sizeof(body));
    ap_hook_translate_name(translate_name, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_map_to_storage(map_to_storage, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_register_auth_provider(pool, AUTHN_PROVIDER_GROUP, "bench-everybody", AUTHN_PROVIDER_VERSION,
                              &provider, AP_AUTH_INTERNAL_PER_CONF);
}

AP_DECLARE_MODULE(bench_limit) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, AP_MODULE_FLAG_NONE,
};
