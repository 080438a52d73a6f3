#include "core/storage/file_collect.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define FILE_MODE 0600
#define SHARDS 256
#define BLOCK 4096        /* of a disk, at least one for each file */
#define FREE_PART 10      /* of the limit, after a collection: a tenth */
#define PART_SECONDS 3600 /* the age at which a file that was never finished is removed */

/* Ages are counted in steps of the time that a use is recorded, up to a week. */
#define AGES (7 * 24 * 60 * 60 / SF_FILE_USE_SECONDS)

#define TOTAL_DIGITS 20

/* A collection under way. */
typedef struct {
    const sf_file_cache *cache;
    apr_pool_t *pool;
    apr_time_t now;
    apr_off_t total;
    apr_off_t bytes[AGES + 1]; /* of the files of each age; the last has all older files, too */
    int border;                /* all files above this age are removed, and of this age ... */
    apr_off_t excess;          /* ... files of so many bytes */
} collection;

/* Does the step of a collection for one file. */
typedef void file_step(collection *c, const char *path, const apr_finfo_t *found);

static int age_of(const collection *c, const apr_finfo_t *found)
{
    const apr_int64_t age = apr_time_sec(c->now - found->atime) / SF_FILE_USE_SECONDS;

    if (age < 0) {
        return 0;
    }
    return age < AGES ? (int)age : AGES;
}

/* Whether the file is being written, or was left over by a writer that was killed. */
static int is_part(const char *path)
{
    const size_t length = strlen(path);
    const size_t tail = strlen(SF_FILE_PART);

    return length > tail && strcmp(path + length - tail, SF_FILE_PART) == 0;
}

/* Adds the file to the sum of its age. Removes it where it was left over. */
static void count_file(collection *c, const char *path, const apr_finfo_t *found)
{
    if (!is_part(path)) {
        c->bytes[age_of(c, found)] += found->csize;
        c->total += found->csize;
    }
    else if (found->mtime < c->now - apr_time_from_sec(PART_SECONDS)) {
        (void)unlink(path);
    }
    else {
        c->total += found->csize;
    }
}

/* Whether the file is to make room. */
static int is_chosen(collection *c, const apr_finfo_t *found)
{
    const int age = age_of(c, found);

    if (age != c->border) {
        return age > c->border;
    }
    if (c->excess <= 0) {
        return 0;
    }
    c->excess -= found->csize;
    return 1;
}

/* Removes the file where it is to make room. */
static void remove_file(collection *c, const char *path, const apr_finfo_t *found)
{
    if (!is_part(path) && is_chosen(c, found) && unlink(path) == 0) {
        c->total -= found->csize;
    }
}

/* Reads the next entry. Returns 0 at the end. */
static int read_entry(apr_dir_t *folder, apr_finfo_t *found)
{
    const apr_int32_t wanted = APR_FINFO_TYPE | APR_FINFO_CSIZE | APR_FINFO_ATIME | APR_FINFO_MTIME;
    const apr_status_t rv = apr_dir_read(found, wanted, folder);

    return rv == APR_SUCCESS || rv == APR_INCOMPLETE;
}

static void walk_shard(collection *c, const char *shard, file_step *step)
{
    apr_pool_t *scratch;
    apr_finfo_t found;
    apr_dir_t *folder;

    apr_pool_create(&scratch, c->pool);
    if (apr_dir_open(&folder, shard, scratch) == APR_SUCCESS) {
        char path[APR_PATH_MAX];

        while (read_entry(folder, &found)) {
            if (found.filetype == APR_REG) {
                apr_snprintf(path, sizeof(path), "%s/%s", shard, found.name);
                step(c, path, &found);
            }
        }
    }
    apr_pool_destroy(scratch);
}

static void walk(collection *c, file_step *step)
{
    int shard;

    for (shard = 0; shard < SHARDS; shard++) {
        walk_shard(c, apr_psprintf(c->pool, "%s/%02x", c->cache->folder, shard), step);
    }
}

/* Chooses the oldest files, so that at most `target` bytes are left; in any case those of the greatest
 * age. */
static void choose_files(collection *c, apr_off_t target)
{
    apr_off_t left = c->total - c->bytes[AGES];

    c->border = AGES - 1;
    while (c->border > 0 && left - c->bytes[c->border] > target) {
        left -= c->bytes[c->border];
        c->border--;
    }
    c->excess = left - target;
}

/* Counts all files, and makes room for `size` bytes. Returns the new total, without these. */
static apr_off_t collect(const sf_file_cache *cache, apr_off_t size, apr_pool_t *pool)
{
    collection *c;
    apr_pool_t *scratch;
    apr_off_t total;

    apr_pool_create(&scratch, pool);
    c = apr_pcalloc(scratch, sizeof(*c));
    c->cache = cache;
    c->pool = scratch;
    c->now = apr_time_now();
    walk(c, count_file);
    if (c->total + size > cache->limit || c->bytes[AGES] > 0) {
        choose_files(c, cache->limit - cache->limit / FREE_PART - size);
        walk(c, remove_file);
    }
    total = c->total;
    apr_pool_destroy(scratch);
    return total;
}

/* Reads the number in FOLDER/total. Returns -1 where there is none. */
static apr_off_t read_total(int fd)
{
    char text[TOTAL_DIGITS + 2] = "";
    char *end;
    apr_off_t total;

    if (pread(fd, text, sizeof(text) - 1, 0) < TOTAL_DIGITS
        || apr_strtoff(&total, text, &end, 10) != APR_SUCCESS || *end != '\n') {
        return -1;
    }
    return total;
}

apr_off_t sf_file_collect_total(const sf_file_cache *cache, apr_pool_t *pool)
{
    const char *path = apr_pstrcat(pool, cache->folder, "/total", NULL);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    apr_off_t total = -1;

    if (fd >= 0) {
        total = read_total(fd);
        close(fd);
    }
    return total > 0 ? total : 0;
}

/* Counts the file under the lock of FOLDER/total. */
static apr_status_t reserve(const sf_file_cache *cache, apr_off_t size, apr_pool_t *pool, int fd)
{
    char text[TOTAL_DIGITS + 2];
    apr_off_t total = read_total(fd);
    int length;

    if (total < 0 || total + size > cache->limit) {
        total = collect(cache, size, pool);
    }
    if (total + size > cache->limit) {
        return APR_ENOSPC;
    }
    length = apr_snprintf(text, sizeof(text), "%0*" APR_OFF_T_FMT "\n", TOTAL_DIGITS, total + size);
    return pwrite(fd, text, (size_t)length, 0) == length ? APR_SUCCESS : errno;
}

apr_status_t sf_file_collect_reserve(const sf_file_cache *cache, apr_off_t size, apr_pool_t *pool)
{
    const char *path = apr_pstrcat(pool, cache->folder, "/total", NULL);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    apr_status_t rv;

    if (fd < 0) {
        return errno;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        rv = errno == EWOULDBLOCK ? APR_EBUSY : errno;
    }
    else {
        rv = reserve(cache, (size + BLOCK - 1) / BLOCK * BLOCK, pool, fd);
    }
    close(fd);
    return rv;
}
