#include "runtime/runner/store_work.h"

#include "core/crypto/sha256.h"
#include "core/process/sandbox.h"
#include "runtime/runner/store.h"

#include <apr_file_io.h>
#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_BYTES (64 * 1024)
#define FOLDER_MODE 0700
#define STORED_MODE 0555

/* Limits of the process that unpacks a bundle. */
#define UNPACK_SECONDS 120
#define UNPACK_DATA (512LL * 1024 * 1024)
#define UNPACK_FILE (1024LL * 1024 * 1024)

APR_RING_HEAD(sf_work_ring, sf_work);

/* A thread and its work. */
typedef struct {
    sf_work_queue *queue;
    apr_thread_t *thread;
    apr_thread_cond_t *given;
    struct sf_work_ring todo;
} lane;

struct sf_work_queue {
    apr_thread_mutex_t *mutex; /* for what follows */
    lane builds;               /* storing and checking */
    lane removals;
    struct sf_work_ring finished;
    int is_ending;
    sf_watch watch; /* an eventfd: something is in `finished` */
};


/* The threads --------------------------------------------------------------------------------- */

/* Waits for work. Returns NULL once the queue ends and the lane is empty. Called with the mutex held. */
static sf_work *next_work(lane *lane)
{
    sf_work *work;

    while (APR_RING_EMPTY(&lane->todo, sf_work, link)) {
        if (lane->queue->is_ending) {
            return NULL;
        }
        apr_thread_cond_wait(lane->given, lane->queue->mutex);
    }
    work = APR_RING_FIRST(&lane->todo);
    APR_RING_REMOVE(work, link);
    return work;
}

static void *APR_THREAD_FUNC run_thread(apr_thread_t *thread, void *data)
{
    const apr_uint64_t one = 1;
    lane *lane = data;
    sf_work_queue *queue = lane->queue;
    sf_work *work;

    (void)thread;
    apr_thread_mutex_lock(queue->mutex);
    while ((work = next_work(lane)) != NULL) {
        apr_thread_mutex_unlock(queue->mutex);
        work->run(work);
        apr_thread_mutex_lock(queue->mutex);
        APR_RING_INSERT_TAIL(&queue->finished, work, sf_work, link);
        if (write(queue->watch.fd, &one, sizeof(one)) < 0) {
            continue; /* the counter is not 0 already */
        }
    }
    apr_thread_mutex_unlock(queue->mutex);
    return NULL;
}


/* The event loop ------------------------------------------------------------------------------ */

static sf_work *take_finished(sf_work_queue *queue)
{
    sf_work *work = NULL;

    apr_thread_mutex_lock(queue->mutex);
    if (!APR_RING_EMPTY(&queue->finished, sf_work, link)) {
        work = APR_RING_FIRST(&queue->finished);
        APR_RING_REMOVE(work, link);
    }
    apr_thread_mutex_unlock(queue->mutex);
    return work;
}

static void finish_works(void *data, unsigned int events)
{
    sf_work_queue *queue = data;
    apr_uint64_t count;
    sf_work *work;

    (void)events;
    if (read(queue->watch.fd, &count, sizeof(count)) < 0) {
        return;
    }
    while ((work = take_finished(queue)) != NULL) {
        if (work->done) {
            work->done(work->data, work);
        }
        apr_pool_destroy(work->pool);
    }
}

static apr_status_t start_lane(apr_pool_t *pool, sf_work_queue *queue, lane *lane)
{
    apr_status_t rv = apr_thread_cond_create(&lane->given, pool);

    lane->queue = queue;
    APR_RING_INIT(&lane->todo, sf_work, link);
    return rv == APR_SUCCESS ? apr_thread_create(&lane->thread, NULL, run_thread, lane, pool) : rv;
}

apr_status_t sf_work_queue_make(apr_pool_t *pool, sf_loop *loop, sf_work_queue **queue)
{
    sf_work_queue *made = apr_pcalloc(pool, sizeof(*made));
    apr_status_t rv;

    APR_RING_INIT(&made->finished, sf_work, link);
    made->watch.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    made->watch.ready = finish_works;
    made->watch.data = made;
    if (made->watch.fd < 0) {
        return errno;
    }
    rv = apr_thread_mutex_create(&made->mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    rv = rv == APR_SUCCESS ? sf_loop_add(loop, &made->watch, EPOLLIN) : rv;
    rv = rv == APR_SUCCESS ? start_lane(pool, made, &made->builds) : rv;
    rv = rv == APR_SUCCESS ? start_lane(pool, made, &made->removals) : rv;
    *queue = rv == APR_SUCCESS ? made : NULL;
    return rv;
}

sf_work *sf_work_make(sf_work_queue *queue, void (*run)(sf_work *work))
{
    apr_pool_t *pool;
    sf_work *work;

    (void)queue;
    apr_pool_create(&pool, NULL); /* of the global allocator, which threads may share */
    work = apr_pcalloc(pool, sizeof(*work));
    work->pool = pool;
    work->run = run;
    return work;
}

void sf_work_submit(sf_work_queue *queue, sf_work *work)
{
    lane *lane = work->run == sf_work_remove ? &queue->removals : &queue->builds;

    apr_thread_mutex_lock(queue->mutex);
    APR_RING_INSERT_TAIL(&lane->todo, work, sf_work, link);
    apr_thread_cond_signal(lane->given);
    apr_thread_mutex_unlock(queue->mutex);
}

/* Forgets the removals that were not begun. Called with the mutex held. */
static void drop_removals(sf_work_queue *queue)
{
    while (!APR_RING_EMPTY(&queue->removals.todo, sf_work, link)) {
        sf_work *work = APR_RING_FIRST(&queue->removals.todo);

        APR_RING_REMOVE(work, link);
        apr_pool_destroy(work->pool);
    }
}

void sf_work_queue_end(sf_work_queue *queue)
{
    apr_status_t rv;

    apr_thread_mutex_lock(queue->mutex);
    queue->is_ending = 1;
    drop_removals(queue);
    apr_thread_cond_signal(queue->builds.given);
    apr_thread_cond_signal(queue->removals.given);
    apr_thread_mutex_unlock(queue->mutex);
    apr_thread_join(&rv, queue->builds.thread);
    apr_thread_join(&rv, queue->removals.thread);
}


/* Removing ------------------------------------------------------------------------------------ */

/* Removes a folder and all that is in it. Folders are made writable before. */
static void remove_tree(apr_pool_t *pool, const char *path)
{
    DIR *directory;
    const struct dirent *entry;

    (void)chmod(path, FOLDER_MODE);
    directory = opendir(path);
    while (directory && (entry = readdir(directory)) != NULL) {
        const char *inner = apr_pstrcat(pool, path, "/", entry->d_name, NULL);

        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0
            && unlink(inner) != 0 && errno == EISDIR) {
            remove_tree(pool, inner);
        }
    }
    if (directory) {
        closedir(directory);
    }
    (void)rmdir(path);
}

void sf_work_remove(sf_work *work)
{
    remove_tree(work->pool, work->from);
}


/* Storing ------------------------------------------------------------------------------------- */

static void fail(sf_work *work, const char *path, int error)
{
    char text[200];

    work->message
        = apr_psprintf(work->pool, "%s: %s", path, apr_strerror(error, text, sizeof(text)));
}

/* Syncs a file or a folder to disk. Returns whether that succeeded. */
static int sync_path(sf_work *work, const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 || fsync(fd) != 0) {
        fail(work, path, errno);
    }
    if (fd >= 0) {
        close(fd);
    }
    return work->message == NULL;
}

static const char *inside(const sf_work *work, const char *folder, const char *name)
{
    return apr_pstrcat(work->pool, folder, "/", name, NULL);
}

static int sync_all(sf_work *work)
{
    int i;

    for (i = 0; i < work->names->nelts; i++) {
        if (!sync_path(work,
                       inside(work, work->from, APR_ARRAY_IDX(work->names, i, const char *)))) {
            return 0;
        }
    }
    return sync_path(work, inside(work, work->from, SF_STORE_SUMS))
           && sync_path(work, inside(work, work->from, "handlers"))
           && sync_path(work, inside(work, work->from, "files")) && sync_path(work, work->from);
}

static void make_read_only(const sf_work *work, const char *folder)
{
    (void)chmod(inside(work, folder, "handlers"), STORED_MODE);
    (void)chmod(inside(work, folder, "files"), STORED_MODE);
    (void)chmod(folder, STORED_MODE);
}

/* Starts tar, which can read the bundle and the system's programs, and write to the folder `modules` alone. */
static const char *start_tar(const sf_work *work, const char *bundle, const char *modules,
                             sf_sandbox *process)
{
    const char *const arguments[]
        = { "/usr/bin/tar", "--zstd", "--no-same-owner", "-xf", bundle, NULL };
    const char *const environment[] = { "PATH=/usr/bin:/bin", "LC_ALL=C", NULL };
    const char *const readable[] = { bundle, NULL };
    sf_restriction restriction;
    const sf_sandbox_program program = { .name = "serverless-unpack",
                                         .arguments = arguments,
                                         .environment = environment,
                                         .directory = modules,
                                         .restriction = &restriction,
                                         .processor_seconds = UNPACK_SECONDS,
                                         .data_bytes = UNPACK_DATA,
                                         .file_bytes = UNPACK_FILE };
    const char *message = sf_restriction_make(work->pool, readable, modules, &restriction);

    if (!message) {
        message = sf_sandbox_start(work->pool, &program, process) == 0 ? NULL : strerror(errno);
        sf_restriction_release(&restriction);
    }
    return message;
}

/* Unpacks the bundle of a Build, if it has one, to an empty folder. The folder is not synced to disk: it is
 * unpacked anew by sf_work_check(). Returns whether that succeeded. */
static int unpack_bundle(sf_work *work)
{
    const char *bundle = inside(work, work->from, SF_STORE_BUNDLE);
    const char *modules = inside(work, work->from, SF_STORE_MODULES);
    const char *message;
    sf_sandbox process;
    int status;

    if (access(bundle, F_OK) != 0) {
        return 1;
    }
    message = mkdir(modules, FOLDER_MODE) == 0 ? start_tar(work, bundle, modules, &process)
                                               : strerror(errno);
    if (message) {
        work->message = apr_pstrcat(work->pool, modules, ": ", message, NULL);
        return 0;
    }
    sf_sandbox_close_input(&process);
    if (waitpid(process.pid, &status, 0) != process.pid || status != 0) {
        work->message = apr_pstrcat(work->pool, bundle, ": tar cannot unpack it", NULL);
    }
    sf_sandbox_release(&process);
    return work->message == NULL;
}

void sf_work_store(sf_work *work)
{
    if (!sync_all(work) || !unpack_bundle(work)) {
        remove_tree(work->pool, work->from);
        return;
    }
    work->size = sf_store_bytes(work->pool, work->from);
    if (rename(work->from, work->to) != 0) {
        if (errno != ENOTEMPTY && errno != EEXIST) {
            fail(work, work->to, errno);
        }
        remove_tree(work->pool, work->from);
        return;
    }
    if (sync_path(work, apr_pstrcat(work->pool, work->to, "/..", NULL))) {
        make_read_only(work, work->to);
    }
}


/* Checking ------------------------------------------------------------------------------------ */

/* Whether the file has the hash. */
static int has_hash(sf_work *work, const char *path, const char *sha256)
{
    static const size_t size = READ_BYTES;
    char *buffer = apr_palloc(work->pool, size);
    char hex[SF_SHA256_HEX + 1];
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    sf_sha256 hash;
    ssize_t length;

    if (fd < 0) {
        return 0;
    }
    sf_sha256_begin(&hash, work->pool);
    while ((length = read(fd, buffer, size)) > 0) {
        sf_sha256_add(&hash, buffer, (apr_size_t)length);
    }
    close(fd);
    return sf_sha256_end(&hash, hex) && length == 0 && strcmp(hex, sha256) == 0;
}

/* Checks a line of the file of hashes: 64 digits, two spaces, name, LF. Returns whether the file of that name
 * has the hash. */
static int check_line(sf_work *work, char *line)
{
    apr_pool_t *pool = work->pool;
    const size_t length = strlen(line);
    int right;

    if (length < SF_SHA256_HEX + 4 || line[length - 1] != '\n') {
        return 0;
    }
    line[length - 1] = '\0';
    line[SF_SHA256_HEX] = '\0';
    apr_pool_create(&work->pool, pool);
    right = has_hash(work, inside(work, work->from, line + SF_SHA256_HEX + 2), line);
    apr_pool_destroy(work->pool);
    work->pool = pool;
    return right;
}

/* Replaces the unpacked bundle, whose files have no hashes. */
static void unpack_again(sf_work *work)
{
    if (access(inside(work, work->from, SF_STORE_BUNDLE), F_OK) == 0) {
        (void)chmod(work->from, FOLDER_MODE);
        remove_tree(work->pool, inside(work, work->from, SF_STORE_MODULES));
        unpack_bundle(work);
        (void)chmod(work->from, STORED_MODE);
    }
}

void sf_work_check(sf_work *work)
{
    char line[256];
    int count = 0;
    FILE *sums = fopen(inside(work, work->from, SF_STORE_SUMS), "re");

    if (!sums) {
        work->message = "its hashes cannot be read";
        return;
    }
    while (!work->message && fgets(line, sizeof(line), sums)) {
        count++;
        if (!check_line(work, line)) {
            work->message = "a file does not have its hash";
        }
    }
    (void)fclose(sums);
    if (count == 0) {
        work->message = "it has no hashes";
    }
    if (!work->message) {
        unpack_again(work);
    }
}
