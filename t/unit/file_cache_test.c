/* The cache of stored content on disk: what makes a file complete, one writer at a time, and which
 * files make room. */
#include "t/unit/unit.h"

#include "core/crypto/sha256.h"
#include "core/storage/file_cache.h"
#include "core/storage/file_collect.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MIB (1024 * 1024)
#define LARGE (100 * 1024)
#define MINUTE 60
#define DAY (24 * 60 * MINUTE)

#define SERVICE "00000000-0000-0000-0000-000000000001"
#define OTHER_SERVICE "00000000-0000-0000-0000-000000000002"

static sf_file_cache cache;
static apr_pool_t *pool; /* of one test */


/* Files --------------------------------------------------------------------------------------- */

static sf_stored_content content_of(const char *bytes, apr_size_t length)
{
    char *hex = apr_palloc(unit_pool, SF_SHA256_HEX + 1);
    sf_sha256 hash;

    sf_sha256_begin(&hash, unit_pool);
    sf_sha256_add(&hash, bytes, length);
    assert_true(sf_sha256_end(&hash, hex));
    return (sf_stored_content){ .service = SERVICE, .sha256 = hex, .size = (apr_off_t)length };
}

static const char *path_of(const sf_stored_content *content, const char *end)
{
    return apr_psprintf(pool, "%s/%.2s/%s-%s%s", cache.folder, content->sha256, content->sha256,
                        content->service, end);
}

static int exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static void set_times(const char *path, time_t used, time_t checked)
{
    const struct timespec times[] = { { .tv_sec = used }, { .tv_sec = checked } };

    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void overwrite(const char *path, const char *bytes)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
    close(fd);
}

static apr_status_t keep(const sf_stored_content *content, const char *bytes, apr_size_t length)
{
    sf_file_writer *writer;
    apr_status_t rv = sf_file_cache_begin(&cache, content, pool, &writer);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    assert_int_equal(sf_file_cache_write(writer, bytes, length), APR_SUCCESS);
    return sf_file_cache_commit(writer);
}

/* A content of `length` bytes in the cache, which differs by `letter`. */
static sf_stored_content kept(char letter, apr_size_t length)
{
    char *bytes = apr_palloc(pool, length);
    sf_stored_content content;

    memset(bytes, letter, length);
    content = content_of(bytes, length);
    assert_int_equal(keep(&content, bytes, length), APR_SUCCESS);
    return content;
}

static apr_status_t look_up(const sf_stored_content *content)
{
    apr_file_t *file;

    return sf_file_cache_open(&cache, content, 0, pool, &file);
}

static int set_up(void **state)
{
    char *folder = apr_pstrdup(unit_pool, "/tmp/serverless-file-cache-XXXXXX");

    (void)state;
    apr_pool_create(&pool, unit_pool);
    assert_non_null(mkdtemp(folder));
    cache = (sf_file_cache){ apr_pstrcat(unit_pool, folder, "/cache", NULL), MIB };
    assert_int_equal(sf_file_cache_make(&cache, getuid()), APR_SUCCESS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return system(apr_psprintf(unit_pool, "rm -r '%.*s'",
                               (int)(strlen(cache.folder) - strlen("/cache")), cache.folder));
}


/* Complete files ------------------------------------------------------------------------------ */

static void content_is_kept(void **state)
{
    const sf_stored_content content = content_of("hello", 5);
    apr_size_t length = 10;
    apr_file_t *file;
    char read[10];

    (void)state;
    assert_int_equal(look_up(&content), APR_ENOENT);
    assert_int_equal(keep(&content, "hello", 5), APR_SUCCESS);
    assert_false(exists(path_of(&content, SF_FILE_PART)));
    assert_int_equal(sf_file_cache_open(&cache, &content, 0, pool, &file), APR_SUCCESS);
    assert_int_equal(apr_file_read(file, read, &length), APR_SUCCESS);
    assert_int_equal(length, 5);
    assert_memory_equal(read, "hello", 5);
}

static void folder_is_for_its_user_alone(void **state)
{
    const sf_stored_content content = kept('a', 10);
    struct stat found;

    (void)state;
    assert_int_equal(stat(cache.folder, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0700);
    assert_int_equal(stat(path_of(&content, ""), &found), 0);
    assert_int_equal(found.st_mode & 07777, 0600);
    assert_int_equal(sf_file_cache_make(&cache, getuid()), APR_SUCCESS); /* where it is there */
}

static void services_do_not_share_files(void **state)
{
    sf_stored_content content = kept('a', 10);

    (void)state;
    content.service = OTHER_SERVICE;
    assert_int_equal(look_up(&content), APR_ENOENT);
}

static void wrong_bytes_leave_no_file(void **state)
{
    const sf_stored_content content = content_of("hello", 5);

    (void)state;
    assert_int_equal(keep(&content, "jello", 5), SF_FILE_CACHE_MISMATCH);
    assert_int_equal(keep(&content, "hell", 4), SF_FILE_CACHE_MISMATCH);
    assert_int_equal(look_up(&content), APR_ENOENT);
    assert_false(exists(path_of(&content, SF_FILE_PART)));
}

static void truncated_file_is_removed(void **state)
{
    const sf_stored_content content = kept('a', 10);

    (void)state;
    assert_int_equal(truncate(path_of(&content, ""), 9), 0);
    assert_int_equal(look_up(&content), APR_ENOENT);
    assert_false(exists(path_of(&content, "")));
    assert_int_equal(keep(&content, "aaaaaaaaaa", 10), APR_SUCCESS);
}

static void damaged_file_is_removed_at_its_next_check(void **state)
{
    const time_t now = time(NULL);
    time_t unchecked[] = { now - DAY - 1, now - 3650L * DAY, now + DAY, now };
    struct timespec running;
    size_t i;

    (void)state;
    clock_gettime(CLOCK_BOOTTIME, &running);
    unchecked[3] -= running.tv_sec + MINUTE; /* before the start of this machine */
    for (i = 0; i < UNIT_COUNT(unchecked); i++) {
        const sf_stored_content content = kept((char)('a' + i), 10);

        overwrite(path_of(&content, ""), "xxxxxxxxxx");
        set_times(path_of(&content, ""), now, now);       /* the system's may be ahead of time() */
        assert_int_equal(look_up(&content), APR_SUCCESS); /* checked when it was written */
        set_times(path_of(&content, ""), now, unchecked[i]);
        assert_int_equal(look_up(&content), APR_ENOENT);
        assert_false(exists(path_of(&content, "")));
    }
}

static void check_is_recorded(void **state)
{
    const sf_stored_content content = kept('a', 10);
    const time_t now = time(NULL);
    struct stat found;

    (void)state;
    set_times(path_of(&content, ""), now, now - 2 * DAY);
    assert_int_equal(look_up(&content), APR_SUCCESS);
    assert_int_equal(stat(path_of(&content, ""), &found), 0);
    assert_true(found.st_mtime >= now);
}

static void use_is_recorded_once_a_minute(void **state)
{
    const sf_stored_content content = kept('a', 10);
    const time_t now = time(NULL);
    struct stat found;

    (void)state;
    set_times(path_of(&content, ""), now - 30, now);
    assert_int_equal(look_up(&content), APR_SUCCESS);
    assert_int_equal(stat(path_of(&content, ""), &found), 0);
    assert_true(found.st_atime == now - 30);
    set_times(path_of(&content, ""), now - 2 * MINUTE, now);
    assert_int_equal(look_up(&content), APR_SUCCESS);
    assert_int_equal(stat(path_of(&content, ""), &found), 0);
    assert_true(found.st_atime >= now);
}

static void folder_in_place_of_a_file_is_not_opened(void **state)
{
    const sf_stored_content content = content_of("hello", 5);

    (void)state;
    assert_int_equal(mkdir(apr_psprintf(pool, "%s/%.2s", cache.folder, content.sha256), 0700), 0);
    assert_int_equal(mkdir(path_of(&content, ""), 0700), 0);
    assert_int_not_equal(look_up(&content), APR_SUCCESS);
}


/* Writers ------------------------------------------------------------------------------------- */

static void one_writer_at_a_time(void **state)
{
    const sf_stored_content content = content_of("hello", 5);
    sf_file_writer *first;
    sf_file_writer *second;
    apr_pool_t *abandoned;

    (void)state;
    apr_pool_create(&abandoned, pool);
    assert_int_equal(sf_file_cache_begin(&cache, &content, abandoned, &first), APR_SUCCESS);
    assert_int_equal(sf_file_cache_begin(&cache, &content, pool, &second), APR_EBUSY);
    apr_pool_destroy(abandoned);
    assert_false(exists(path_of(&content, SF_FILE_PART)));
    assert_int_equal(sf_file_cache_begin(&cache, &content, pool, &second), APR_SUCCESS);
    assert_int_equal(sf_file_cache_write(second, "hello", 5), APR_SUCCESS);
    assert_int_equal(sf_file_cache_commit(second), APR_SUCCESS);
    assert_int_equal(look_up(&content), APR_SUCCESS);
    assert_int_equal(sf_file_cache_begin(&cache, &content, pool, &first), APR_EBUSY);
    assert_false(exists(path_of(&content, SF_FILE_PART)));
}

static void killed_writer_leaves_nothing_behind(void **state)
{
    const sf_stored_content content = content_of("hello", 5);

    (void)state;
    assert_int_equal(keep(&content, "jello", 5), SF_FILE_CACHE_MISMATCH); /* makes the folders */
    overwrite(path_of(&content, SF_FILE_PART), "half of a longer content");
    assert_int_equal(keep(&content, "hello", 5), APR_SUCCESS);
    assert_int_equal(look_up(&content), APR_SUCCESS);
}

static void missing_folder_is_an_error(void **state)
{
    const sf_stored_content content = content_of("hello", 5);

    (void)state;
    cache.folder = apr_pstrcat(pool, cache.folder, "/missing", NULL);
    assert_int_equal(look_up(&content), APR_ENOENT);
    assert_int_equal(keep(&content, "hello", 5), ENOENT);
    assert_int_not_equal(sf_file_cache_make(&(sf_file_cache){ "/dev/null/x", MIB }, getuid()),
                         APR_SUCCESS);
    cache.folder = apr_pstrndup(pool, cache.folder, strlen(cache.folder) - strlen("/missing"));
}


/* Room ---------------------------------------------------------------------------------------- */

static void quarter_of_the_limit_is_the_largest(void **state)
{
    (void)state;
    assert_true(sf_file_cache_takes(&cache, MIB / 4));
    assert_false(sf_file_cache_takes(&cache, MIB / 4 + 1));
}

static void least_recently_used_files_make_room(void **state)
{
    sf_stored_content files[10];
    const time_t now = time(NULL);
    sf_stored_content last;
    int i;

    (void)state;
    for (i = 0; i < 10; i++) {
        files[i] = kept((char)('a' + i), LARGE);
        set_times(path_of(&files[i], ""), now - (i % 2 ? 10 : 60) * MINUTE - i, now);
    }
    last = kept('z', LARGE);
    assert_int_equal(look_up(&last), APR_SUCCESS);
    for (i = 0; i < 10; i++) { /* at least one of the older five, none of the others */
        assert_true(i % 2 == 0 || look_up(&files[i]) == APR_SUCCESS);
    }
    for (i = 0; i < 10 && look_up(&files[i]) == APR_SUCCESS; i++) {
    }
    assert_true(i < 10);
}

static void limit_holds_for_files_of_one_moment(void **state)
{
    int present = 0;
    sf_stored_content files[26];
    int i;

    (void)state;
    for (i = 0; i < 26; i++) {
        files[i] = kept((char)('a' + i), LARGE);
    }
    for (i = 0; i < 26; i++) {
        present += look_up(&files[i]) == APR_SUCCESS;
    }
    assert_in_range(present, 8, 10);
    assert_int_equal(look_up(&files[25]), APR_SUCCESS);
}

static void unused_files_go_after_a_week(void **state)
{
    const sf_stored_content unused = kept('a', 10);
    const sf_stored_content used = kept('b', 10);
    const time_t now = time(NULL);
    sf_stored_content next;

    (void)state;
    set_times(path_of(&unused, ""), now - 7 * DAY, now);
    set_times(path_of(&used, ""), now - 6 * DAY, now);
    overwrite(apr_pstrcat(pool, cache.folder, "/total", NULL), "99999999999999999999\n");
    next = kept('c', 10);
    assert_int_equal(look_up(&next), APR_SUCCESS);
    assert_int_equal(look_up(&used), APR_SUCCESS);
    assert_int_equal(look_up(&unused), APR_ENOENT);
}

static void left_over_parts_go_after_an_hour(void **state)
{
    const sf_stored_content content = kept('a', 10);
    const char *old = path_of(&content, ".x" SF_FILE_PART);
    const char *young = path_of(&content, ".y" SF_FILE_PART);
    const time_t now = time(NULL);

    (void)state;
    overwrite(old, "x");
    overwrite(young, "y");
    set_times(old, now - 8 * DAY, now - 61 * MINUTE);
    set_times(young, now - 8 * DAY, now - 59 * MINUTE);
    unlink(apr_pstrcat(pool, cache.folder, "/total", NULL));
    kept('b', 10);
    assert_false(exists(old));
    assert_true(exists(young));
}

static void total_that_cannot_be_read_is_counted_anew(void **state)
{
    static const char *const totals[]
        = { "", "x", "-0000000000000000001\n", "00000000000000000000" };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(totals); i++) {
        overwrite(apr_pstrcat(pool, cache.folder, "/total", NULL), totals[i]);
        kept((char)('a' + i), 10);
    }
}

static void file_that_is_read_stays_readable(void **state)
{
    const sf_stored_content content = kept('a', 10);
    apr_size_t length = 10;
    apr_file_t *file;
    char read[10];
    int i;

    (void)state;
    assert_int_equal(sf_file_cache_open(&cache, &content, 0, pool, &file), APR_SUCCESS);
    set_times(path_of(&content, ""), time(NULL) - DAY, time(NULL));
    for (i = 0; i < 12; i++) {
        kept((char)('b' + i), LARGE);
    }
    assert_int_equal(look_up(&content), APR_ENOENT);
    assert_int_equal(apr_file_read(file, read, &length), APR_SUCCESS);
    assert_memory_equal(read, "aaaaaaaaaa", 10);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int unit_file_cache(void)
{
    const struct CMUnitTest tests[] = {
        TEST(content_is_kept),
        TEST(folder_is_for_its_user_alone),
        TEST(services_do_not_share_files),
        TEST(wrong_bytes_leave_no_file),
        TEST(truncated_file_is_removed),
        TEST(damaged_file_is_removed_at_its_next_check),
        TEST(check_is_recorded),
        TEST(use_is_recorded_once_a_minute),
        TEST(folder_in_place_of_a_file_is_not_opened),
        TEST(one_writer_at_a_time),
        TEST(killed_writer_leaves_nothing_behind),
        TEST(missing_folder_is_an_error),
        TEST(quarter_of_the_limit_is_the_largest),
        TEST(least_recently_used_files_make_room),
        TEST(limit_holds_for_files_of_one_moment),
        TEST(unused_files_go_after_a_week),
        TEST(left_over_parts_go_after_an_hour),
        TEST(total_that_cannot_be_read_is_counted_anew),
        TEST(file_that_is_read_stays_readable),
    };

    return cmocka_run_group_tests_name("file_cache", tests, NULL, NULL);
}
