#include "worker/build_worker.h"

#include "core/config.h"
#include "core/db/db.h"
#include "core/log.h"
#include "worker/background.h"
#include "worker/claimed_build.h"
#include "worker/dependency_worker.h"
#include "worker/javascript.h"

#include <apr_atomic.h>
#include <apr_strings.h>
#include <http_log.h>
#include <stdlib.h>

APLOG_USE_MODULE(serverless_functions);

/* How many Builds are worked on at the same time, so that one that takes all its time does not keep
 * those of other accounts waiting. */
#define THREADS 4

/* How often the worker looks for Builds that were created on another node. */
#define POLL_INTERVAL apr_time_from_sec(2)

/* How long the worker leaves a database alone that did not answer. Each try may take
 * connect_timeout, and the Builds of other databases wait as long. */
#define RETRY_INTERVAL apr_time_from_sec(5)

/* The number of leases after which a Build fails. */
#define MAX_LEASES "3"

/* How much longer a lease is than an attempt may take. */
#define LEASE_MARGIN apr_time_from_sec(5)

/* The result of checking a Build: it ends as completed or failed, or it stays for another
 * attempt. */
typedef enum { CHECKED, POSTPONED } check_result;

/* The worker of one database, which all threads share. */
typedef struct {
    sf_background_task task;
    volatile apr_uint64_t next_look;  /* a time; 0: at once */
    volatile apr_uint32_t away;       /* the database did not answer the last look */
    volatile apr_uint32_t seen_wakes; /* the value of sf_background_wakes() at the last look */
} build_worker;

void sf_build_worker_wake(void)
{
    sf_background_wake();
}


/* Checking ------------------------------------------------------------------------------------ */

/* The columns of build_parts. */
enum { PART_VERSION, PART_PATH, PART_SIZE, PART_KIND, PART_IS_WHOLE };

static int is_function(sf_rows *parts, int part)
{
    return strcmp(sf_rows_value(parts, part, PART_KIND), "function") == 0;
}

/* Checks a part by its size and by whether all its chunks are there. Returns NULL or an error
 * message. */
static const char *part_error(apr_pool_t *pool, sf_rows *parts, int part)
{
    const char *size = sf_rows_value(parts, part, PART_SIZE);
    const apr_off_t limit
        = is_function(parts, part) ? sf_config_function_limit() : sf_config_asset_limit();

    if (!size) {
        return "the Version is gone";
    }
    if (apr_atoi64(size) > limit) {
        return apr_psprintf(pool, "larger than %" APR_OFF_T_FMT " bytes", limit);
    }
    return *sf_rows_value(parts, part, PART_IS_WHOLE) == 't' ? NULL : "the content is damaged";
}

/* Checks that every Version is there, whole, and not too large. */
static void check_versions(sf_claimed_build *build, sf_rows *parts)
{
    apr_pool_t *pool = build->caller.pool;
    int i;

    for (i = 0; i < sf_rows_count(parts) && !build->failure; i++) {
        const char *message = part_error(pool, parts, i);

        if (message) {
            build->failure
                = apr_pstrcat(pool, sf_rows_value(parts, i, PART_PATH), ": ", message, NULL);
        }
    }
}

/* Reads the source of a Version. The database compares it with its hash, and returns NULL where
 * they differ. */
static check_result read_source(sf_claimed_build *build, apr_pool_t *pool, const char *version,
                                const char *path, const char **source)
{
    const sf_caller caller = { pool, build->caller.server, NULL };
    const char *values[] = { build->service, version };
    sf_rows *rows;

    if (sf_db_run(&caller, SF_STATEMENT_BUILD_SOURCE, values, &rows)) {
        return POSTPONED;
    }
    *source = sf_rows_count(rows) == 1 ? sf_rows_value(rows, 0, 0) : NULL;
    if (!*source) {
        build->failure = apr_psprintf(build->caller.pool, "%s: the content is damaged", path);
    }
    return CHECKED;
}

/* Reads the source of every Function, and sends it to the compile check if there is one (`check`
 * is not NULL). Assets are not read: they may be large, and no check depends on their bytes. */
static check_result check_sources(sf_claimed_build *build, sf_rows *parts, sf_javascript *check)
{
    check_result result = CHECKED;
    apr_pool_t *scratch;
    int i;

    apr_pool_create(&scratch, build->caller.pool);
    for (i = 0; i < sf_rows_count(parts) && !build->failure && result == CHECKED; i++) {
        const char *path = sf_rows_value(parts, i, PART_PATH);
        const char *source;

        if (!is_function(parts, i)) {
            continue;
        }
        if (apr_time_now() >= build->deadline) {
            build->failure = "The Functions could not be read within this server's limit of time";
            break;
        }
        result = read_source(build, scratch, sf_rows_value(parts, i, PART_VERSION), path, &source);
        if (result == CHECKED && source && check && !sf_javascript_add(check, path, source)) {
            break; /* sf_javascript_end() says why */
        }
        apr_pool_clear(scratch);
    }
    apr_pool_destroy(scratch);
    return result;
}

/* Ends the compile check, and takes its result for the Build's. A failure that is known already
 * stays. */
static check_result end_check(sf_claimed_build *build, sf_javascript *check)
{
    const char *reason = NULL;

    switch (sf_javascript_end(check, &reason)) {
    case SF_JAVASCRIPT_BROKEN:
        sf_log(&build->caller, APLOG_ERR, "SF0009", "cannot start %s", sf_config_node());
        return POSTPONED;
    case SF_JAVASCRIPT_VALID:
        return CHECKED;
    case SF_JAVASCRIPT_INVALID:
        build->failure = build->failure ? build->failure : reason;
        return CHECKED;
    case SF_JAVASCRIPT_EXHAUSTED:
        reason = "The Functions could not be compiled within this server's limits of time and "
                 "memory";
        build->failure = build->failure ? build->failure : reason;
        return CHECKED;
    default: /* SF_JAVASCRIPT_STOPPED */
        return POSTPONED;
    }
}

/* Checks the Build, and sets its failure where it has one. POSTPONED: the database or node did
 * not work, or httpd stops. */
static check_result check_build(sf_claimed_build *build)
{
    const char *values[] = { build->service, build->id };
    sf_javascript *check = NULL;
    sf_rows *parts;
    check_result result;

    if (sf_db_run(&build->caller, SF_STATEMENT_BUILD_PARTS, values, &parts)) {
        return POSTPONED;
    }
    check_versions(build, parts);
    if (build->failure) {
        return CHECKED;
    }
    if (sf_config_node()) {
        check = sf_javascript_begin(build->caller.pool, sf_config_node(), build->deadline);
    }
    result = check_sources(build, parts, check);
    if (check && end_check(build, check) == POSTPONED) {
        return POSTPONED;
    }
    return result;
}


/* Claiming and finishing ---------------------------------------------------------------------- */

/* The columns of build_claim. */
enum { CLAIM_SERVICE, CLAIM_ID, CLAIM_LEASE, CLAIM_RUNTIME, CLAIM_DEPENDENCIES };

/* The result of looking for a Build. */
typedef enum { BUILD_FOUND, NO_BUILD, NO_ANSWER } claim_result;

/* Takes a lease of the oldest Build that waits. Returns NO_ANSWER where the database fails,
 * which has been logged. */
static claim_result claim(sf_claimed_build *build)
{
    const apr_interval_time_t lease = sf_config_build_timeout() + LEASE_MARGIN;
    const char *values[] = { apr_itoa(build->caller.pool, (int)apr_time_sec(lease)), MAX_LEASES };
    sf_rows *rows;

    if (sf_db_run(&build->caller, SF_STATEMENT_BUILD_CLAIM, values, &rows)) {
        return NO_ANSWER;
    }
    build->service = sf_rows_value(rows, 0, CLAIM_SERVICE);
    build->id = sf_rows_value(rows, 0, CLAIM_ID);
    build->lease = sf_rows_value(rows, 0, CLAIM_LEASE);
    build->runtime = sf_rows_value(rows, 0, CLAIM_RUNTIME);
    build->dependencies = sf_rows_value(rows, 0, CLAIM_DEPENDENCIES);
    build->deadline = apr_time_now() + sf_config_build_timeout();
    if (!build->id) {
        return NO_BUILD;
    }
    sf_sid_write(build->sid, "ZB", build->id);
    return BUILD_FOUND;
}

/* Returns whether the Build has Dependencies that a runner is to resolve. */
static int needs_bundle(const sf_claimed_build *build)
{
    return !build->failure && sf_config_runner() && strcmp(build->dependencies, "[]") != 0;
}

/* Checks a Build that was claimed, and ends its lease; leaves it to the worker of Dependencies, or leaves the lease to
 * run out. */
static void process_build(sf_claimed_build *build)
{
    if (check_build(build) == CHECKED) {
        if (needs_bundle(build)) {
            sf_dependency_worker_add(build);
        }
        else {
            sf_claimed_build_finish(build);
        }
    }
    else if (sf_background_stopping()) {
        sf_claimed_build_release(build);
    }
    else {
        sf_log(&build->caller, APLOG_WARNING, "SF0012", "Build %s is left for another try",
               build->sid);
    }
}

/* Claims the next Build, if one waits, and works on it. Meanwhile another thread may look for the one
 * after it. */
static claim_result take_build(build_worker *worker, apr_pool_t *pool)
{
    sf_claimed_build build = { .caller = { pool, worker->task.server, NULL } };
    const claim_result result = claim(&build);

    if (result == BUILD_FOUND) {
        apr_atomic_set32(&worker->away, 0);
        apr_atomic_set64(&worker->next_look, 0);
        process_build(&build);
    }
    return result;
}

/* Returns whether to look for a Build now: the interval has passed, or a request of any child has
 * created one. Of several threads, one gets to look. A wake-up does not shorten the interval of a
 * database that did not answer. */
static int take_look(build_worker *worker)
{
    const apr_uint64_t now = (apr_uint64_t)apr_time_now();
    const apr_uint64_t due = apr_atomic_read64(&worker->next_look);
    const apr_uint32_t wakes = sf_background_wakes();
    const apr_uint32_t seen = apr_atomic_read32(&worker->seen_wakes);

    if (!apr_atomic_read32(&worker->away) && wakes != seen
        && apr_atomic_cas32(&worker->seen_wakes, wakes, seen) == seen) {
        return 1;
    }
    return now >= due && apr_atomic_cas64(&worker->next_look, now + POLL_INTERVAL, due) == due;
}

/* Works on one Build of the database. After a Build, the next look follows at once. */
static void build_step(sf_background_task *task, apr_pool_t *pool)
{
    build_worker *worker = (build_worker *)task;

    if (!take_look(worker)) {
        return;
    }
    switch (take_build(worker, pool)) {
    case BUILD_FOUND:
        break;
    case NO_BUILD:
        apr_atomic_set32(&worker->away, 0);
        break;
    case NO_ANSWER:
        apr_atomic_set64(&worker->next_look, (apr_uint64_t)(apr_time_now() + RETRY_INTERVAL));
        apr_atomic_set32(&worker->away, 1);
        break;
    }
}

void sf_build_worker_register(apr_pool_t *pconf, server_rec *s)
{
    static const sf_background_kind kind = { "Builds", build_step, sizeof(build_worker), THREADS };

    sf_background_add(&kind, s, pconf);
}
