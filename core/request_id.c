#include "core/request_id.h"

#include "core/sid.h"

#include <apr_atomic.h>
#include <apr_siphash.h>
#include <http_core.h>
#include <openssl/rand.h>
#include <string.h>

/* An id is the number of a request, hashed under two keys that only this child has. That is as
 * unpredictable as RAND_bytes() for each request, at a tenth of its cost. */
static struct {
    unsigned char keys[2][APR_SIPHASH_KSIZE];
    volatile apr_uint64_t requests;
} child;

apr_status_t sf_request_id_init(void)
{
    return RAND_bytes(child.keys[0], sizeof(child.keys)) == 1 ? APR_SUCCESS : APR_EGENERAL;
}

const char *sf_request_id(request_rec *r)
{
    apr_uint64_t number;
    apr_uint64_t noise[2];
    char *id;

    if (r->log_id && strncmp(r->log_id, "RQ", SF_SID_PREFIX) == 0) {
        return r->log_id;
    }
    number = apr_atomic_inc64(&child.requests);
    noise[0] = apr_siphash24(&number, sizeof(number), child.keys[0]);
    noise[1] = apr_siphash24(&number, sizeof(number), child.keys[1]);
    id = apr_palloc(r->pool, SF_SID_LENGTH + 1);
    id[0] = 'R';
    id[1] = 'Q';
    ap_bin2hex(noise, sizeof(noise), id + SF_SID_PREFIX);
    return r->log_id = id;
}
