#include "worker/dependency_worker.h"

#include "core/log.h"
#include "worker/background.h"
#include "worker/dependencies.h"

#include <apr_ring.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <http_log.h>
#include <string.h>

APLOG_USE_MODULE(serverless_functions);

/* The Builds that are resolved at the same time. */
#define ACTIVE_MAX 2

/* How long a lease is, and when it is extended. */
#define LEASE_SECONDS "60"
#define EXTEND_INTERVAL apr_time_from_sec(20)

/* Pauses before another try: the first one, which doubles each time, and the longest one. */
#define SHORTEST_PAUSE apr_time_from_sec(1)
#define LONGEST_PAUSE apr_time_from_sec(60)

/* A Build fails when the runner or the database has refused so many tries. It waits for a runner that is away. */
#define BROKEN_MAX 3

typedef struct job {
    APR_RING_ENTRY(job) link;
    apr_pool_t *pool;
    sf_claimed_build build;
    apr_pool_t *try_pool;  /* of `work` */
    sf_dependencies *work; /* NULL until a try begins */
    apr_time_t extend_at;
    apr_time_t begin_at; /* the next try */
    apr_interval_time_t pause;
    int broken; /* tries that were refused */
} job;

/* This child's jobs, first come first, of all databases. The thread of the task alone removes them. */
static struct {
    apr_thread_mutex_t *mutex; /* for `jobs` */
    APR_RING_HEAD(job_ring, job) jobs;
    int active;
} child;

apr_status_t sf_dependency_worker_child_init(apr_pool_t *pool)
{
    APR_RING_INIT(&child.jobs, job, link);
    return apr_thread_mutex_create(&child.mutex, APR_THREAD_MUTEX_DEFAULT, pool);
}

void sf_dependency_worker_add(const sf_claimed_build *build)
{
    apr_pool_t *pool;
    job *made;

    apr_pool_create_unmanaged(&pool); /* threads share no allocator */
    made = apr_pcalloc(pool, sizeof(*made));
    made->pool = pool;
    made->build = *build;
    made->build.caller.pool = pool;
    made->build.service = apr_pstrdup(pool, build->service);
    made->build.id = apr_pstrdup(pool, build->id);
    made->build.lease = apr_pstrdup(pool, build->lease);
    made->build.runtime = apr_pstrdup(pool, build->runtime);
    made->build.dependencies = apr_pstrdup(pool, build->dependencies);
    apr_thread_mutex_lock(child.mutex);
    APR_RING_INSERT_TAIL(&child.jobs, made, job, link);
    apr_thread_mutex_unlock(child.mutex);
}

/* Ends a try. */
static void end_try(job *job)
{
    if (job->work) {
        child.active--;
        sf_dependencies_end(job->work);
        job->work = NULL;
        apr_pool_destroy(job->try_pool);
    }
}

/* Ends a job whose Build is finished, given back or left to another worker. */
static void end(job *job)
{
    end_try(job);
    apr_thread_mutex_lock(child.mutex);
    APR_RING_REMOVE(job, link);
    apr_thread_mutex_unlock(child.mutex);
    apr_pool_destroy(job->pool);
}

/* Extends the lease, if that is due. Returns 0 where the lease does not hold any more, and has ended the job. */
static int keep_lease(job *job)
{
    const apr_time_t now = apr_time_now();

    if (now < job->extend_at) {
        return 1;
    }
    job->extend_at = now + EXTEND_INTERVAL;
    if (sf_claimed_build_extend(&job->build, LEASE_SECONDS)) {
        return 1;
    }
    sf_log(&job->build.caller, APLOG_NOTICE, "SF0011", "Build %s was deleted or taken over",
           job->build.sid);
    end(job);
    return 0;
}

/* Begins a try, if one is due and not too many are under way. */
static void begin_try(job *job)
{
    sf_claimed_build build = job->build;

    if (job->work || child.active >= ACTIVE_MAX || apr_time_now() < job->begin_at) {
        return;
    }
    apr_pool_create(&job->try_pool, job->pool);
    build.caller.pool = job->try_pool;
    job->work = sf_dependencies_begin(&build);
    child.active++;
}

/* Ends a try that has not finished the Build; another one follows after a pause. */
static void try_again(job *job)
{
    const apr_interval_time_t pause = job->pause ? job->pause : SHORTEST_PAUSE;

    end_try(job);
    job->begin_at = apr_time_now() + pause;
    job->pause = 2 * pause < LONGEST_PAUSE ? 2 * pause : LONGEST_PAUSE;
}

static void finish(job *job, const char *failure)
{
    job->build.failure = failure;
    sf_claimed_build_finish(&job->build);
    end(job);
}

/* Does what can be done for a job without waiting for the runner. */
static void step_job(job *job)
{
    const char *failure = NULL;

    begin_try(job);
    if (!job->work) {
        return;
    }
    switch (sf_dependencies_step(job->work, &failure)) {
    case SF_DEPENDENCIES_PENDING:
        break;
    case SF_DEPENDENCIES_RESOLVED:
    case SF_DEPENDENCIES_FAILED:
        finish(job, failure);
        break;
    case SF_DEPENDENCIES_BROKEN:
        if (++job->broken >= BROKEN_MAX) {
            finish(job, "The Dependencies cannot be resolved, because of a fault of this server");
            break;
        }
        try_again(job);
        break;
    case SF_DEPENDENCIES_POSTPONED:
        try_again(job);
        break;
    }
}

static job *first_job(void)
{
    job *first;

    apr_thread_mutex_lock(child.mutex);
    first = APR_RING_EMPTY(&child.jobs, job, link) ? NULL : APR_RING_FIRST(&child.jobs);
    apr_thread_mutex_unlock(child.mutex);
    return first;
}

static job *next_job(job *before)
{
    job *next;

    apr_thread_mutex_lock(child.mutex);
    next = APR_RING_NEXT(before, link);
    next = next == APR_RING_SENTINEL(&child.jobs, job, link) ? NULL : next;
    apr_thread_mutex_unlock(child.mutex);
    return next;
}

/* Goes through the jobs of the task's database. */
static void step(sf_background_task *task, apr_pool_t *pool)
{
    job *current = first_job();

    (void)pool;
    while (current) {
        job *following = next_job(current);

        if (current->build.caller.server != task->server) {
            current = following;
            continue;
        }
        if (sf_background_stopping()) {
            sf_claimed_build_release(&current->build);
            end(current);
        }
        else if (keep_lease(current)) {
            step_job(current);
        }
        current = following;
    }
}

void sf_dependency_worker_register(apr_pool_t *pconf, server_rec *s)
{
    static const sf_background_kind kind = { "Dependencies", step, sizeof(sf_background_task), 1 };

    sf_background_add(&kind, s, pconf);
}
