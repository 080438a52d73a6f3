#include "core/crypto/sha256_error.h"

#include "core/log.h"

#include <http_log.h>
#include <openssl/err.h>

const sf_error *sf_sha256_failed(const sf_caller *caller)
{
    ERR_clear_error();
    sf_log(caller, APLOG_ERR, "SF0020", "OpenSSL cannot hash what the request has");
    return sf_error_of_status(caller->pool, HTTP_INTERNAL_SERVER_ERROR);
}
