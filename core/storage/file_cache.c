#include "core/storage/file_cache.h"

#include "core/clock.h"
#include "core/crypto/sha256.h"
#include "core/storage/file_collect.h"

#include <apr_portable.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FOLDER_MODE 0700
#define FILE_MODE 0600

#define LARGEST_PART 4 /* of the limit: a quarter */
#define SHARD_DIGITS 2
#define CHECKED_SECONDS (24 * 60 * 60)
#define READ_BYTES (64 * 1024)

struct sf_file_writer {
    apr_pool_t *pool;
    const sf_stored_content *content;
    const char *path;
    const char *part;
    int fd;
    apr_off_t written;
    sf_sha256 hash;
};


/* Names --------------------------------------------------------------------------------------- */

static const char *shard_of(const sf_file_cache *cache, const sf_stored_content *content,
                            apr_pool_t *pool)
{
    return apr_psprintf(pool, "%s/%.*s", cache->folder, SHARD_DIGITS, content->sha256);
}

/* A Service has files of its own: were one shared, its speed would tell an account of the content of
 * another. */
static const char *path_of(const sf_file_cache *cache, const sf_stored_content *content,
                           apr_pool_t *pool)
{
    return apr_pstrcat(pool, shard_of(cache, content, pool), "/", content->sha256, "-",
                       content->service, NULL);
}

/* Gives a new folder to the user. The descriptor, not the path: a user that may write in the folder
 * above could replace it by a link to another file. */
static apr_status_t give_folder(const char *folder, apr_uid_t user)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    apr_status_t rv;

    if (fd < 0) {
        return errno;
    }
    rv = fchown(fd, user, (gid_t)-1) == 0 ? APR_SUCCESS : errno;
    close(fd);
    return rv;
}

apr_status_t sf_file_cache_make(const sf_file_cache *cache, apr_uid_t user)
{
    if (mkdir(cache->folder, FOLDER_MODE) != 0) {
        return errno == EEXIST ? APR_SUCCESS : errno;
    }
    return geteuid() == 0 ? give_folder(cache->folder, user) : APR_SUCCESS;
}

int sf_file_cache_takes(const sf_file_cache *cache, apr_off_t size)
{
    return size <= cache->limit / LARGEST_PART;
}


/* Reading ------------------------------------------------------------------------------------- */

/* The time at which this machine was started. */
static time_t start_of_machine(void)
{
    return (time_t)apr_time_sec(apr_time_now() - sf_clock_now());
}

/* Whether the file's hash was checked in the last day, after the machine's start. The time of
 * modification is the time of the last check. */
static int is_checked(const struct stat *found)
{
    const time_t now = time(NULL);

    return found->st_mtime >= start_of_machine() && found->st_mtime <= now
           && found->st_mtime > now - CHECKED_SECONDS;
}

/* Whether the bytes of the file have the hash. */
static int has_hash(int fd, const char *sha256, apr_pool_t *pool)
{
    char *buffer = apr_palloc(pool, READ_BYTES);
    char hex[SF_SHA256_HEX + 1];
    off_t offset = 0;
    ssize_t length;
    sf_sha256 hash;

    sf_sha256_begin(&hash, pool);
    while ((length = pread(fd, buffer, READ_BYTES, offset)) > 0) {
        sf_sha256_add(&hash, buffer, (apr_size_t)length);
        offset += length;
    }
    return sf_sha256_end(&hash, hex) && length == 0 && strcmp(hex, sha256) == 0;
}

/* Checks the hash of the file and records the time. One thread does; others wait for it and see the
 * recorded time. Returns whether the file has the hash. */
static int check_hash(int fd, const sf_stored_content *content, apr_pool_t *pool)
{
    const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_NOW } };
    apr_pool_t *scratch;
    struct stat found;
    int right;

    while (flock(fd, LOCK_EX) != 0) {
        if (errno != EINTR) {
            return 0;
        }
    }
    apr_pool_create(&scratch, pool);
    right = fstat(fd, &found) == 0
            && (is_checked(&found)
                || (has_hash(fd, content->sha256, scratch) && futimens(fd, times) == 0));
    apr_pool_destroy(scratch);
    flock(fd, LOCK_UN);
    return right;
}

/* Records the use of the file, where that was not done in the last minute. The mount option noatime
 * is without effect on it. */
static void record_use(int fd, const struct stat *found)
{
    const struct timespec times[] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_OMIT } };

    if (found->st_atime + SF_FILE_USE_SECONDS <= time(NULL)) {
        (void)futimens(fd, times); /* at worst, the file is removed early */
    }
}

/* Whether the opened file is the complete content. */
static int is_complete(int fd, const sf_stored_content *content, apr_pool_t *pool)
{
    struct stat found;

    if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode) || found.st_size != content->size) {
        return 0;
    }
    record_use(fd, &found);
    return is_checked(&found) || check_hash(fd, content, pool);
}

apr_status_t sf_file_cache_open(const sf_file_cache *cache, const sf_stored_content *content,
                                apr_int32_t flags, apr_pool_t *pool, apr_file_t **file)
{
    const char *path = path_of(cache, content, pool);
    apr_os_file_t fd;
    apr_status_t rv = apr_file_open(file, path, APR_FOPEN_READ | APR_FOPEN_BINARY | flags, 0, pool);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_os_file_get(&fd, *file);
    if (is_complete(fd, content, pool)) {
        return APR_SUCCESS;
    }
    (void)unlink(path);
    apr_file_close(*file);
    return APR_ENOENT;
}


/* Writing ------------------------------------------------------------------------------------- */

/* Closes the file, and so unlocks it. Before, removes its name, which is no longer `part` after the
 * commit. */
static apr_status_t end_writer(void *data)
{
    sf_file_writer *writer = data;

    (void)unlink(writer->part);
    close(writer->fd);
    return APR_SUCCESS;
}

/* Locks the opened file `part`. A file that was committed or removed after it was opened has another
 * inode than its name, or no name: its lock is worth nothing. */
static apr_status_t lock_part(const sf_file_writer *writer)
{
    struct stat opened;
    struct stat named;

    if (flock(writer->fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? APR_EBUSY : errno;
    }
    if (fstat(writer->fd, &opened) != 0) {
        return errno;
    }
    return stat(writer->part, &named) == 0 && opened.st_ino == named.st_ino ? APR_SUCCESS
                                                                            : APR_EBUSY;
}

static apr_status_t open_part(sf_file_writer *writer)
{
    apr_status_t rv;

    writer->fd = open(writer->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (writer->fd < 0) {
        return errno;
    }
    rv = lock_part(writer);
    if (rv != APR_SUCCESS) {
        close(writer->fd);
    }
    return rv;
}

/* Makes room for the locked file, and empties it of the bytes of a writer that was killed. */
static apr_status_t prepare_part(const sf_file_cache *cache, sf_file_writer *writer)
{
    apr_status_t rv;

    if (access(writer->path, F_OK) == 0) { /* committed before this writer's lock */
        return APR_EBUSY;
    }
    rv = sf_file_collect_reserve(cache, writer->content->size, writer->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    return ftruncate(writer->fd, 0) == 0 ? APR_SUCCESS : errno;
}

apr_status_t sf_file_cache_begin(const sf_file_cache *cache, const sf_stored_content *content,
                                 apr_pool_t *pool, sf_file_writer **writer)
{
    sf_file_writer *made = apr_pcalloc(pool, sizeof(*made));
    apr_status_t rv;

    if (mkdir(shard_of(cache, content, pool), FOLDER_MODE) != 0 && errno != EEXIST) {
        return errno;
    }
    made->pool = pool;
    made->content = content;
    made->path = path_of(cache, content, pool);
    made->part = apr_pstrcat(pool, made->path, SF_FILE_PART, NULL);
    rv = open_part(made);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_pool_cleanup_register(pool, made, end_writer, apr_pool_cleanup_null);
    rv = prepare_part(cache, made);
    if (rv != APR_SUCCESS) {
        apr_pool_cleanup_run(pool, made, end_writer);
        return rv;
    }
    sf_sha256_begin(&made->hash, pool);
    *writer = made;
    return APR_SUCCESS;
}

apr_status_t sf_file_cache_write(sf_file_writer *writer, const void *bytes, apr_size_t length)
{
    const char *at = bytes;

    sf_sha256_add(&writer->hash, bytes, length);
    while (length > 0) {
        const ssize_t written = write(writer->fd, at, length);

        if (written < 0 && errno != EINTR) {
            return errno;
        }
        if (written > 0) {
            at += written;
            length -= (apr_size_t)written;
            writer->written += written;
        }
    }
    return APR_SUCCESS;
}

apr_status_t sf_file_cache_commit(sf_file_writer *writer)
{
    char hex[SF_SHA256_HEX + 1];
    apr_status_t rv = APR_SUCCESS;

    if (!sf_sha256_end(&writer->hash, hex)) {
        rv = APR_EGENERAL;
    }
    else if (writer->written != writer->content->size
             || strcmp(hex, writer->content->sha256) != 0) {
        rv = SF_FILE_CACHE_MISMATCH;
    }
    else if (rename(writer->part, writer->path) != 0) {
        rv = errno;
    }
    apr_pool_cleanup_run(writer->pool, writer, end_writer);
    return rv;
}
