#include "worker/build_worker.h"

#include "core/config.h"
#include "core/db/db.h"
#include "core/log.h"
#include "core/sid.h"
#include "worker/background.h"
#include "worker/javascript.h"

#include <apr_atomic.h>
#include <apr_strings.h>
#include <http_log.h>
#include <stdlib.h>

APLOG_USE_MODULE(serverless_functions);

/* How often a child looks for Builds of others. */
#define LOOK_EVERY apr_time_from_sec(1)

/* And how long it leaves a database alone that did not answer: each try may take connect_timeout, and
 * the Builds of others wait as long. */
#define REST apr_time_from_sec(5)

/* A Build that has outlived so many workers fails. */
#define MOST_ATTEMPTS "3"

/* What a lease lasts longer than an attempt may. */
#define LEASE_MARGIN apr_time_from_sec(5)

typedef enum { FINISHED, POSTPONED } outcome;

typedef struct {
    sf_caller caller;
    const char *service;
    const char *id;
    const char *lease;
    char sid[SF_SID_LENGTH + 1];
    apr_time_t deadline;
    const char *failure; /* why it failed, for its owner */
} build;

/* A database, to this child's worker. */
typedef struct {
    sf_background_task watched;
    int rests;          /* it did not answer */
    apr_uint32_t wakes; /* how many there had been at the last look */
} queue;

static volatile apr_uint32_t wakes;

void sf_build_worker_wake(void)
{
    apr_atomic_inc32(&wakes);
}


/* What is checked -------------------------------------------------------------------------------- */

/* The columns of build_parts. */
enum { PART_VERSION, PART_PATH, PART_SIZE, PART_KIND, PART_IS_WHOLE };

static int is_function(sf_rows *parts, int part)
{
    return strcmp(sf_rows_value(parts, part, PART_KIND), "function") == 0;
}

/* What is wrong with a part, as far as can be told without its bytes, or NULL. */
static const char *fault_of(apr_pool_t *pool, sf_rows *parts, int part)
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

/* Every Version is there, whole, and not too large. */
static void check_parts(build *build, sf_rows *parts)
{
    apr_pool_t *pool = build->caller.pool;
    int i;

    for (i = 0; i < sf_rows_count(parts) && !build->failure; i++) {
        const char *fault = fault_of(pool, parts, i);

        if (fault) {
            build->failure
                = apr_pstrcat(pool, sf_rows_value(parts, i, PART_PATH), ": ", fault, NULL);
        }
    }
}

/* Fetches a Version's source, whose bytes the database has compared with their hash. */
static outcome read_source(build *build, apr_pool_t *pool, const char *version, const char *path,
                           const char **source)
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
    return FINISHED;
}

/* Hands every source to the check, if there is one; without, they are still read and compared. Assets
 * are not read: they may be large, and nothing here depends on what they contain. */
static outcome check_sources(build *build, sf_rows *parts, sf_javascript *check)
{
    outcome outcome = FINISHED;
    apr_pool_t *pool;
    int i;

    apr_pool_create(&pool, build->caller.pool);
    for (i = 0; i < sf_rows_count(parts) && !build->failure && outcome == FINISHED; i++) {
        const char *path = sf_rows_value(parts, i, PART_PATH);
        const char *source;

        if (!is_function(parts, i)) {
            continue;
        }
        if (apr_time_now() >= build->deadline) {
            build->failure = "The Functions could not be read within this server's limit of time";
            break;
        }
        outcome = read_source(build, pool, sf_rows_value(parts, i, PART_VERSION), path, &source);
        if (outcome == FINISHED && source && check && !sf_javascript_add(check, path, source)) {
            break; /* its result tells why */
        }
        apr_pool_clear(pool);
    }
    apr_pool_destroy(pool);
    return outcome;
}

static outcome conclude(build *build, sf_javascript *check)
{
    const char *reason = NULL;

    switch (sf_javascript_end(check, &reason)) {
    case SF_JAVASCRIPT_BROKEN:
        sf_log(&build->caller, APLOG_ERR, "SF0009", "cannot start %s", sf_config_node());
        return POSTPONED;
    case SF_JAVASCRIPT_VALID:
        return FINISHED;
    case SF_JAVASCRIPT_INVALID:
        build->failure = build->failure ? build->failure : reason;
        return FINISHED;
    case SF_JAVASCRIPT_EXHAUSTED:
        build->failure = build->failure ? build->failure
                                        : "The Functions could not be compiled within this "
                                          "server's limits of time and memory";
        return FINISHED;
    default:
        return POSTPONED;
    }
}

static outcome check_build(build *build)
{
    const char *values[] = { build->service, build->id };
    sf_javascript *check = NULL;
    sf_rows *parts;
    outcome outcome;

    if (sf_db_run(&build->caller, SF_STATEMENT_BUILD_PARTS, values, &parts)) {
        return POSTPONED;
    }
    check_parts(build, parts);
    if (build->failure) {
        return FINISHED;
    }
    if (sf_config_node()) {
        check = sf_javascript_begin(build->caller.pool, sf_config_node(), build->deadline);
    }
    outcome = check_sources(build, parts, check);
    if (check && conclude(build, check) == POSTPONED) {
        outcome = POSTPONED;
    }
    return outcome;
}


/* Claiming and finishing ------------------------------------------------------------------------- */

/* What became of a look for a Build. */
typedef enum { DONE_ONE, NONE_WAITS, NO_ANSWER } look_result;

/* Takes the next Build. */
static look_result claim(build *build)
{
    const apr_interval_time_t lease = sf_config_build_timeout() + LEASE_MARGIN;
    const char *values[]
        = { apr_itoa(build->caller.pool, (int)apr_time_sec(lease)), MOST_ATTEMPTS };
    sf_rows *rows;

    if (sf_db_run(&build->caller, SF_STATEMENT_BUILD_CLAIM, values, &rows)) {
        return NO_ANSWER;
    }
    build->service = sf_rows_value(rows, 0, 0);
    build->id = sf_rows_value(rows, 0, 1);
    build->lease = sf_rows_value(rows, 0, 2);
    build->deadline = apr_time_now() + sf_config_build_timeout();
    if (!build->id) {
        return NONE_WAITS;
    }
    sf_sid_write(build->sid, "ZB", build->id);
    return DONE_ONE;
}

/* Says how it ended, unless it was deleted or another has it by now. */
static void finish(const build *build)
{
    const char *values[] = { build->service, build->id, build->lease,
                             build->failure ? "failed" : "completed", build->failure };
    sf_rows *rows;

    if (build->failure) { /* which may quote sources, and is its owner's to read */
        sf_log(&build->caller, APLOG_NOTICE, "SF0010", "Build %s failed", build->sid);
    }
    if (!sf_db_run(&build->caller, SF_STATEMENT_BUILD_FINISH, values, &rows)
        && sf_rows_count(rows) == 0) {
        sf_log(&build->caller, APLOG_NOTICE, "SF0011", "Build %s was deleted or taken over",
               build->sid);
    }
}

/* Whoever comes next can take it at once, and it was no attempt. */
static void give_back(const build *build)
{
    const char *values[] = { build->service, build->id, build->lease };
    sf_rows *rows;

    sf_db_run(&build->caller, SF_STATEMENT_BUILD_RELEASE, values, &rows);
    sf_log(&build->caller, APLOG_NOTICE, "SF0013", "Build %s is given back, because httpd stops",
           build->sid);
}

static void work_on(build *build)
{
    if (check_build(build) == FINISHED) {
        finish(build);
    }
    else if (sf_background_stopping()) {
        give_back(build);
    }
    else {
        sf_log(&build->caller, APLOG_WARNING, "SF0012", "Build %s is left for another try",
               build->sid);
    }
}

/* One Build from claim to finish, if there is one. */
static look_result do_one(server_rec *s, apr_pool_t *parent)
{
    build build = { .caller = { NULL, s, NULL } };
    look_result result;

    apr_pool_create(&build.caller.pool, parent);
    result = claim(&build);
    if (result == DONE_ONE) {
        work_on(&build);
    }
    apr_pool_destroy(build.caller.pool);
    return result;
}

/* Whether it is time to look; who has to rest is not woken. */
static int is_due(queue *queue)
{
    const apr_uint32_t known = queue->wakes;

    queue->wakes = apr_atomic_read32(&wakes);
    return apr_time_now() >= queue->watched.next_look || (!queue->rests && queue->wakes != known);
}

static void look(sf_background_task *watched, apr_pool_t *pool)
{
    queue *own = (queue *)watched;
    look_result result;

    if (!is_due(own)) {
        return;
    }
    watched->next_look = apr_time_now() + LOOK_EVERY;
    result = do_one(watched->server, pool);
    own->rests = result == NO_ANSWER;
    if (result == DONE_ONE) { /* perhaps there are more */
        watched->next_look = 0;
    }
    else if (result == NO_ANSWER) {
        watched->next_look = apr_time_now() + REST;
    }
}

apr_status_t sf_build_worker_register(apr_pool_t *pconf, server_rec *s)
{
    return sf_background_add("serverless-builds", look, sizeof(queue), s, pconf);
}
