#include "runtime/runner/status.h"

#include "core/json.h"

#include <unistd.h>

static void add_number(json_object *object, const char *name, apr_int64_t value)
{
    sf_json_add(object, name, json_object_new_int64(value));
}

static json_object *isolates_json(const sf_pool *pool)
{
    static const char *const names[SF_ISOLATE_STATES] = { "starting", "idle", "leased", "ending" };
    apr_int64_t counts[SF_ISOLATE_STATES] = { 0 };
    json_object *isolates = json_object_new_object();
    apr_hash_index_t *i;
    int state;

    for (i = apr_hash_first(NULL, pool->isolates); i; i = apr_hash_next(i)) {
        counts[((const sf_isolate *)apr_hash_this_val(i))->state]++;
    }
    for (state = 0; state < SF_ISOLATE_STATES; state++) {
        add_number(isolates, names[state], counts[state]);
    }
    return isolates;
}

static json_object *leases_json(const sf_pool *pool)
{
    json_object *leases = json_object_new_object();

    add_number(leases, "waiting", apr_hash_count(pool->leases));
    add_number(leases, "answered", pool->counts.leases);
    add_number(leases, "cold", pool->counts.cold);
    add_number(leases, "refused", pool->counts.refused);
    add_number(leases, "expired", pool->counts.expired);
    return leases;
}

static json_object *cache_json(const sf_builds *builds)
{
    json_object *cache = json_object_new_object();

    add_number(cache, "builds", sf_builds_count(builds));
    add_number(cache, "bytes", sf_builds_bytes(builds));
    return cache;
}

json_object *sf_status_json(const sf_status_parts *parts)
{
    json_object *status = json_object_new_object();

    add_number(status, "pid", getpid());
    sf_json_add(status, "leaving", json_object_new_boolean(parts->is_leaving));
    add_number(status, "children", parts->children);
    sf_json_add(status, "isolates", isolates_json(parts->isolates));
    sf_json_add(status, "leases", leases_json(parts->isolates));
    add_number(status, "environments", apr_hash_count(parts->isolates->environments));
    add_number(status, "starts", parts->isolates->counts.starts);
    add_number(status, "calls", parts->isolates->counts.calls);
    add_number(status, "killed", parts->isolates->counts.killed);
    add_number(status, "died", parts->isolates->counts.died);
    sf_json_add(status, "cache", cache_json(parts->builds));
    return status;
}
