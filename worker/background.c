#include "worker/background.h"

#include "core/config.h"
#include "core/db/db.h"
#include "core/log.h"

#include <ap_mpm.h>
#include <apr_atomic.h>
#include <apr_portable.h>
#include <apr_shm.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <errno.h>
#include <fcntl.h>
#include <http_config.h>
#include <http_log.h>
#include <mod_watchdog.h>
#include <scoreboard.h>
#include <unistd.h>

APLOG_USE_MODULE(serverless_functions);

/* The most threads of all kinds. */
#define THREADS_MAX 16

/* How often a thread calls the steps of its tasks, and a stopping child counts the running ones. */
#define STEP_INTERVAL apr_time_from_msec(100)
#define STOP_SLICE apr_time_from_msec(10)

/* How long a stopping child waits for running steps. */
#define STOP_LIMIT apr_time_from_sec(10)

/* The name under which httpd keeps `node` between its restarts. */
#define RETAINED "serverless-background"

/* A kind of task with its tasks, sf_background_task * each. */
typedef struct {
    sf_background_kind kind;
    apr_array_header_t *tasks;
} group;

/* The parts that children of all generations share. The file has no name, and is open in the parent
 * and in each child: a child locks it by fcntl(): such a lock belongs to the process alone. */
typedef struct {
    int lock_file;
    volatile apr_uint32_t *wakes; /* in shared memory */
} node_state;

static node_state *node;
static apr_array_header_t *groups; /* group each */

/* This child's. Used by the steps of mod_watchdog's thread, and by the thread that stops the work when no step
 * runs any more. */
static struct {
    apr_pool_t *pool;
    int has_lock;
    apr_thread_t *threads[THREADS_MAX];
    int started;
} child;

/* The number of running steps; whether further steps are refused; whether all is done for that. begin_step()
 * counts its step before it reads `stopped`, and stop() sets `stopped` before it reads the count: no step is
 * missed. The calls of mod_watchdog count as steps. */
static volatile apr_uint32_t running;
static volatile apr_uint32_t stopped;
static volatile apr_uint32_t finished;


/* Threads --------------------------------------------------------------------------------------- */

/* Counts a step that begins. Returns 0, and has not counted it, where the child stops. */
static int begin_step(void)
{
    apr_atomic_inc32(&running);
    if (apr_atomic_read32(&stopped)) {
        apr_atomic_dec32(&running);
        return 0;
    }
    return 1;
}

static void end_step(void)
{
    apr_atomic_dec32(&running);
}

static void run_steps(const group *of, apr_pool_t *pool)
{
    int i;

    for (i = 0; i < of->tasks->nelts && begin_step(); i++) {
        of->kind.step(APR_ARRAY_IDX(of->tasks, i, sf_background_task *), pool);
        apr_pool_clear(pool);
        end_step();
    }
}

/* The pool is the thread's alone. httpd's signals are for the main thread. */
static void *APR_THREAD_FUNC run_thread(apr_thread_t *thread, void *data)
{
    apr_pool_t *pool;

    (void)thread;
    apr_setup_signal_thread();
    if (apr_pool_create_unmanaged(&pool) != APR_SUCCESS) {
        return NULL;
    }
    while (!sf_background_stopping()) {
        apr_sleep(STEP_INTERVAL);
        run_steps(data, pool);
    }
    apr_pool_destroy(pool);
    return NULL;
}

/* Starts the threads that do not run yet. Where that fails, mod_watchdog's next call tries again. */
static void start_threads(const sf_caller *caller)
{
    apr_status_t rv = APR_SUCCESS;
    int number = 0;
    int i;
    int j;

    for (i = 0; i < groups->nelts; i++) {
        group *of = &APR_ARRAY_IDX(groups, i, group);

        for (j = 0; j < of->kind.threads && rv == APR_SUCCESS; j++, number++) {
            if (number < child.started) {
                continue;
            }
            rv = apr_thread_create(&child.threads[number], NULL, run_thread, of, child.pool);
            child.started += rv == APR_SUCCESS;
        }
        if (rv != APR_SUCCESS) {
            sf_log_limited(caller, APLOG_ERR, "SF0095", "cannot start the thread for %s: %pm",
                           of->kind.name, &rv);
            return;
        }
    }
}


/* The lock -------------------------------------------------------------------------------------- */

static int set_lock(short type)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

    return fcntl(node->lock_file, F_SETLK, &lock) == 0;
}

/* Takes the lock unless another process has it. Returns whether this child has it. */
static int take_lock(const sf_caller *caller)
{
    if (child.has_lock) {
        return 1;
    }
    child.has_lock = set_lock(F_WRLCK);
    if (child.has_lock) {
        sf_log(caller, APLOG_INFO, "SF0096", "this child does the background work");
    }
    else if (errno != EAGAIN && errno != EACCES) {
        const apr_status_t rv = errno;

        sf_log_limited(caller, APLOG_ERR, "SF0095", "cannot lock the file of background work: %pm",
                       &rv);
    }
    return child.has_lock;
}

static void release_lock(void)
{
    if (child.has_lock) {
        child.has_lock = 0;
        set_lock(F_UNLCK);
    }
}


/* Stopping -------------------------------------------------------------------------------------- */

/* Threads of which the step has not ended in time stay behind. */
static void join_threads(void)
{
    apr_status_t result;

    while (apr_atomic_read32(&running) == 0 && child.started > 0) {
        apr_thread_join(&result, child.threads[--child.started]);
    }
}

/* Ends the background work of this child. Returns 0 where another thread does that, or has done it. */
static int stop(void)
{
    const apr_time_t limit = apr_time_now() + STOP_LIMIT;

    if (apr_atomic_cas32(&stopped, 1, 0) != 0) {
        return 0;
    }
    while (apr_atomic_read32(&running) > 0 && apr_time_now() < limit) {
        apr_sleep(STOP_SLICE);
    }
    join_threads();
    release_lock();
    apr_atomic_set32(&finished, 1);
    return 1;
}

/* Ends the background work, or waits until mod_watchdog's thread has ended it. */
static void stop_and_wait(void)
{
    const apr_time_t limit = apr_time_now() + STOP_LIMIT;

    if (!stop()) {
        while (!apr_atomic_read32(&finished) && apr_time_now() < limit) {
            apr_sleep(STOP_SLICE);
        }
    }
}

void sf_background_stop(apr_pool_t *pool, int graceful)
{
    (void)pool;
    (void)graceful;
    stop_and_wait();
}

/* A child of prefork that gets SIGTERM runs no hook child_stopping. */
static apr_status_t stop_before_cleanup(void *data)
{
    (void)data;
    stop_and_wait();
    return APR_SUCCESS;
}

/* Whether httpd was restarted since this child was made. prefork does not tell that to a child that has a
 * request. */
static int is_replaced(void)
{
    const global_score *score = ap_get_scoreboard_global();
    int generation;

    return score && ap_mpm_query(AP_MPMQ_GENERATION, &generation) == APR_SUCCESS
           && score->running_generation != generation;
}

int sf_background_stopping(void)
{
    int state;

    return apr_atomic_read32(&stopped)
           || (ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING)
           || is_replaced();
}


/* Watching -------------------------------------------------------------------------------------- */

/* Does what each child does once a second. Counted as a step. */
static void watch(server_rec *s, apr_pool_t *pool)
{
    const sf_caller caller = { pool, s, NULL };

    sf_log_flush(&caller, 0);
    for (s = sf_config_next_database(s); s; s = sf_config_next_database(s->next)) {
        sf_db_close_idle(s);
    }
    if (take_lock(&caller)) {
        start_threads(&caller);
    }
}

/* mod_watchdog calls this. A child of prefork that is to stop may have a request that lasts, and runs the hook
 * child_stopping after that. */
static apr_status_t on_watchdog(int state, void *data, apr_pool_t *pool)
{
    if (state == AP_WATCHDOG_STATE_STARTING || !child.pool) {
        return APR_SUCCESS; /* without a pool, SF0006 is in the error log */
    }
    if (state == AP_WATCHDOG_STATE_STOPPING || sf_background_stopping()) {
        stop();
    }
    else if (begin_step()) {
        watch(data, pool);
        end_step();
    }
    return APR_SUCCESS;
}


/* Starting up ----------------------------------------------------------------------------------- */

/* Opens a temporary file and removes its name. */
static apr_status_t make_lock_file(apr_pool_t *pool, int *descriptor)
{
    const char *directory;
    apr_file_t *file;
    char *name;
    apr_status_t rv = apr_temp_dir_get(&directory, pool);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    name = apr_pstrcat(pool, directory, "/serverless-background.XXXXXX", NULL);
    rv = apr_file_mktemp(&file, name, APR_FOPEN_CREATE | APR_FOPEN_WRITE | APR_FOPEN_EXCL, pool);
    if (rv == APR_SUCCESS) {
        apr_os_file_get(descriptor, file);
        rv = apr_file_remove(name, pool);
    }
    return rv;
}

/* Makes the parts that all generations share, at httpd's first start. */
static apr_status_t make_node(apr_pool_t *pool)
{
    node_state made;
    apr_shm_t *memory;
    apr_status_t rv;

    node = ap_retained_data_get(RETAINED);
    if (node) {
        return APR_SUCCESS;
    }
    rv = make_lock_file(pool, &made.lock_file);
    if (rv == APR_SUCCESS) {
        rv = apr_shm_create(&memory, sizeof(*made.wakes), NULL, pool);
    }
    if (rv == APR_SUCCESS) {
        made.wakes = apr_shm_baseaddr_get(memory);
        *made.wakes = 0;
        node = ap_retained_data_create(RETAINED, sizeof(*node));
        *node = made;
    }
    return rv;
}

apr_status_t sf_background_init(server_rec *s, apr_pool_t *pconf)
{
    APR_OPTIONAL_FN_TYPE(ap_watchdog_get_instance) *get
        = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_get_instance);
    APR_OPTIONAL_FN_TYPE(ap_watchdog_register_callback) *add
        = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_register_callback);
    ap_watchdog_t *watchdog;
    apr_status_t rv;

    if (!get || !add) {
        return APR_ENOTIMPL;
    }
    groups = apr_array_make(pconf, 4, sizeof(group));
    rv = make_node(s->process->pool);
    if (rv == APR_SUCCESS) {
        rv = get(&watchdog, "serverless-background", 0, 0, pconf);
    }
    return rv == APR_SUCCESS ? add(watchdog, AP_WD_TM_INTERVAL, s, on_watchdog) : rv;
}

void sf_background_add(const sf_background_kind *kind, server_rec *s, apr_pool_t *pconf)
{
    group *added = apr_array_push(groups);

    added->kind = *kind;
    added->tasks = apr_array_make(pconf, 1, sizeof(sf_background_task *));
    for (s = sf_config_next_database(s); s; s = sf_config_next_database(s->next)) {
        sf_background_task *task = apr_pcalloc(pconf, kind->size);

        task->server = s;
        APR_ARRAY_PUSH(added->tasks, sf_background_task *) = task;
    }
}

/* The pool has an allocator of its own: mod_watchdog's thread uses it beside the other threads of
 * httpd. */
apr_status_t sf_background_child_init(apr_pool_t *pool)
{
    apr_allocator_t *allocator;
    apr_status_t rv = apr_allocator_create(&allocator);

    if (rv == APR_SUCCESS) {
        rv = apr_pool_create_ex(&child.pool, pool, NULL, allocator);
    }
    if (rv == APR_SUCCESS) {
        apr_allocator_owner_set(allocator, child.pool);
        apr_pool_pre_cleanup_register(pool, NULL, stop_before_cleanup);
    }
    return rv;
}


/* Waking ---------------------------------------------------------------------------------------- */

void sf_background_wake(void)
{
    apr_atomic_inc32(node->wakes);
}

apr_uint32_t sf_background_wakes(void)
{
    return apr_atomic_read32(node->wakes);
}
