#include "core/http/request_limit.h"

#include "core/caller.h"
#include "core/config.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/sid.h"

#include <apr_atomic.h>
#include <apr_shm.h>
#include <http_log.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

APLOG_USE_MODULE(serverless_functions);

/* An entry is written without a lock: `child` by an atomic exchange with 0, then `account`. */
typedef struct {
    volatile apr_uint32_t child;   /* the process id; 0 for a free entry */
    volatile apr_uint64_t account; /* its key; 0 before it is known */
} entry;

/* The key of clients that are not authenticated. Those of accounts are odd. */
#define ANONYMOUS_KEY 2

/* Digits of a SID's end that make an account's key. They are random. */
#define KEY_DIGITS 16

/* The name of a request's entry among the data of its pool. */
#define POOL_KEY "sf_request_limit"

static struct {
    entry *entries; /* NULL where no limit is configured */
    int count;
    apr_uint32_t child; /* this one's process id */
} table;

apr_status_t sf_request_limit_init(apr_pool_t *pool)
{
    /* Besides a request for each worker there are those that the event MPM finishes without one. */
    const int count = 2 * sf_config_workers();
    const apr_size_t size = (apr_size_t)count * sizeof(entry);
    apr_shm_t *memory;
    apr_status_t rv;

    if (sf_config_request_limit() == 0 && sf_config_account_request_limit() == 0) {
        return APR_SUCCESS;
    }
    rv = apr_shm_create(&memory, size, NULL, pool);
    if (rv == APR_SUCCESS) {
        table.entries = apr_shm_baseaddr_get(memory);
        table.count = count;
        memset(table.entries, 0, size);
    }
    return rv;
}

void sf_request_limit_child_init(void)
{
    table.child = (apr_uint32_t)getpid();
}

static void free_entry(entry *own)
{
    apr_atomic_set64(&own->account, 0);
    apr_atomic_set32(&own->child, 0);
}

void sf_request_limit_child_status(server_rec *s, pid_t pid, ap_generation_t generation, int slot,
                                   mpm_child_status status)
{
    int i;

    (void)s;
    (void)generation;
    (void)slot;
    for (i = 0; table.entries && status == MPM_CHILD_EXITED && i < table.count; i++) {
        if (table.entries[i].child == (apr_uint32_t)pid) {
            free_entry(&table.entries[i]);
        }
    }
}

static apr_status_t release_entry(void *data)
{
    free_entry(data);
    return APR_SUCCESS;
}

/* Returns an entry that is this child's now, or NULL where none is free. */
static entry *take_entry(void)
{
    int i;

    for (i = 0; i < table.count; i++) {
        entry *found = &table.entries[i];

        if (found->child == 0 && apr_atomic_cas32(&found->child, table.child, 0) == 0) {
            return found;
        }
    }
    return NULL;
}

static apr_uint64_t key_of(const char *account)
{
    return account ? strtoull(account + SF_SID_LENGTH - KEY_DIGITS, NULL, 16) | 1 : ANONYMOUS_KEY;
}

/* Returns why an account with this key has a request too much, the one that was just entered, or
 * NULL. Two requests that are entered at the same time may both find a limit exceeded; never do
 * both find it kept. */
static const char *find_reason(apr_uint64_t key)
{
    const int account_limit = sf_config_account_request_limit();
    const int limit = sf_config_request_limit();
    int of_account = 0;
    int all = 0;
    int i;

    for (i = 0; i < table.count; i++) {
        const apr_uint64_t account = table.entries[i].account;

        all += account != 0;
        of_account += account == key;
    }
    if (account_limit > 0 && of_account > account_limit) {
        return "The account has too many requests at the same time";
    }
    if (limit > 0 && all > limit && of_account > 1) {
        return "The server has too many requests at the same time";
    }
    return NULL;
}

/* Refuses the request. httpd closes the connection after a 503, and does not read the body. */
static const sf_error *refuse(request_rec *r, const char *reason)
{
    const sf_caller caller = sf_caller_of(r);

    sf_log(&caller, APLOG_INFO, "SF0060", "refused: %s", reason);
    sf_metrics_add(SF_METRIC_REQUESTS_REFUSED);
    return sf_error_make(r->pool, HTTP_SERVICE_UNAVAILABLE, "%s", reason);
}

int sf_request_limit_has(request_rec *r)
{
    void *own = NULL;

    return apr_pool_userdata_get(&own, POOL_KEY, r->pool) == APR_SUCCESS && own;
}

const sf_error *sf_request_limit_add(request_rec *r, const char *account)
{
    const apr_uint64_t key = key_of(account);
    const char *reason;
    entry *own;

    if (!table.entries || r->main || sf_request_limit_has(r)) {
        return NULL;
    }
    own = take_entry();
    if (!own) {
        return refuse(r, "The server has too many requests at the same time");
    }
    apr_atomic_set64(&own->account, key);
    reason = find_reason(key);
    if (reason) {
        free_entry(own);
        return refuse(r, reason);
    }
    apr_pool_userdata_setn(own, POOL_KEY, release_entry, r->pool);
    return NULL;
}
