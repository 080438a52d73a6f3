/* The spool of logs: records, segments, what a loss of power leaves, and what is dropped when the spool is full. */
#include "t/unit/unit.h"

#include "core/storage/log_spool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRY "{\"environment_sid\":\"ZE%d\",\"level\":\"INFO\",\"message\":\"%d\"}"

static sf_log_spool spool;

static int set_up(void **state)
{
    static char folder[] = "/tmp/serverless-spool.XXXXXX";

    (void)state;
    strcpy(folder, "/tmp/serverless-spool.XXXXXX");
    spool = (sf_log_spool){
        .folder = mkdtemp(folder), .name = "unit", .segment_bytes = 1000, .bytes = 5000
    };
    return spool.folder ? 0 : -1;
}

static int tear_down(void **state)
{
    const char *path;

    (void)state;
    while ((path = sf_log_spool_oldest(&spool, unit_pool)) != NULL) {
        unlink(path);
    }
    return rmdir(spool.folder);
}

static const char *entry(int environment, int number)
{
    return apr_psprintf(unit_pool, ENTRY, environment, number);
}

static apr_status_t append(const char *json)
{
    sf_json_writer records;

    sf_json_writer_begin(&records, unit_pool);
    sf_log_spool_seal(&records, json, strlen(json));
    return sf_log_spool_append(&spool, records.text, records.length);
}

/* Reads all entries of a segment, each on a line, and the number of damaged lines. */
static const char *read_all(const char *path, int *damaged)
{
    const int fd = open(path, O_RDONLY);
    sf_log_batch batch = { .end = 0 };
    const char *text = "";
    int i;

    *damaged = 0;
    while (sf_log_spool_read(unit_pool, fd, batch.end, 1, &batch)) {
        *damaged += batch.damaged;
        for (i = 0; i < batch.entries->nelts; i++) {
            text = apr_pstrcat(unit_pool, text, APR_ARRAY_IDX(batch.entries, i, const char *), "\n",
                               NULL);
        }
    }
    close(fd);
    return text;
}

static void write_raw(const char *bytes)
{
    const int fd = open(apr_pstrcat(unit_pool, spool.folder, "/unit.log", NULL),
                        O_WRONLY | O_APPEND | O_CREAT, 0600);

    assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
    close(fd);
}

static void keeps_order(void **state)
{
    struct stat file;
    const char *path;
    int damaged;

    (void)state;
    assert_null(sf_log_spool_oldest(&spool, unit_pool));
    assert_int_equal(append(entry(1, 1)), APR_SUCCESS);
    assert_int_equal(append(entry(2, 2)), APR_SUCCESS);
    path = sf_log_spool_oldest(&spool, unit_pool);
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(file.st_mode & 07777, 0600);
    assert_int_equal(append(entry(1, 3)), APR_SUCCESS);
    assert_string_equal(sf_log_spool_oldest(&spool, unit_pool), path);
    unit_text("the first segment", read_all(path, &damaged),
              apr_pstrcat(unit_pool, entry(1, 1), "\n", entry(2, 2), "\n", NULL));
    unlink(path);
    unit_text("the next segment", read_all(sf_log_spool_oldest(&spool, unit_pool), &damaged),
              apr_pstrcat(unit_pool, entry(1, 3), "\n", NULL));
    unit_number("damaged", damaged, 0);
}

/* Each kind of damage leaves the records around it. */
static void passes_over_damage(void **state)
{
    static const char *const damages[] = {
        "0123456789abcdef {}\n",   /* a checksum that does not fit */
        "0123456789abcdef {\"a\"", /* half a record */
        "0123",                    /* half a checksum */
        "no record\n",
        "\n0000000000000000 \n",
    };
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(damages); i++) {
        const char *path;
        int damaged;

        append(entry(1, 1));
        write_raw(damages[i]);
        append(entry(1, 2));
        path = sf_log_spool_oldest(&spool, unit_pool);
        unit_text(damages[i], read_all(path, &damaged),
                  apr_pstrcat(unit_pool, entry(1, 1), "\n", entry(1, 2), "\n", NULL));
        unit_number(damages[i], damaged, 1);
        unlink(path);
    }
}

/* A line without an end may still be being written: it is left until the segment is removed. */
static void waits_for_the_end(void **state)
{
    sf_log_batch batch;
    int fd;

    (void)state;
    write_raw("0123456789abcdef {");
    fd = open(sf_log_spool_oldest(&spool, unit_pool), O_RDONLY);
    unit_number("not yet", sf_log_spool_read(unit_pool, fd, 0, 0, &batch), 0);
    unit_number("the last time", sf_log_spool_read(unit_pool, fd, 0, 1, &batch), 1);
    unit_number("damaged", batch.damaged, 1);
    close(fd);
}

static void reads_batches(void **state)
{
    sf_log_batch batch;
    int fd;
    int i;

    (void)state;
    spool.bytes = 1024 * 1024;
    for (i = 0; i < SF_LOG_BATCH + 1; i++) {
        append(entry(1, i));
    }
    fd = open(sf_log_spool_oldest(&spool, unit_pool), O_RDONLY);
    unit_number("first", sf_log_spool_read(unit_pool, fd, 0, 0, &batch), 1);
    unit_number("entries", batch.entries->nelts, SF_LOG_BATCH);
    unit_number("second", sf_log_spool_read(unit_pool, fd, batch.end, 0, &batch), 1);
    unit_number("entries", batch.entries->nelts, 1);
    unit_number("third", sf_log_spool_read(unit_pool, fd, batch.end, 0, &batch), 0);
    close(fd);
}

/* The oldest go first, and each Environment has an entry that counts them. What such an entry stood for counts
 * again when it is dropped itself. */
static void drops_the_oldest(void **state)
{
    int appended = 0;
    int counted = 0;
    int kept = 0;
    int damaged;
    const char *path;
    const char *at;

    (void)state;
    while (appended < 1000) {
        assert_int_equal(append(entry(appended % 2, appended)), APR_SUCCESS);
        appended++;
        sf_log_spool_drop(&spool, unit_pool);
    }
    while ((path = sf_log_spool_oldest(&spool, unit_pool)) != NULL) {
        const char *text = read_all(path, &damaged);

        unit_number("damaged", damaged, 0);
        for (at = text; (at = strstr(at, "\"message\":\"")) != NULL;) {
            const int number = atoi(at += strlen("\"message\":\""));

            if (strncmp(at + strspn(at, "0123456789"), " entries were dropped, because", 30) == 0) {
                counted += number;
            }
            else {
                kept++;
            }
        }
        unlink(path);
    }
    assert_true(kept > 20);
    unit_number("kept and counted", kept + counted, appended);
}

static void refuses_more_than_its_bytes(void **state)
{
    int appended = 0;
    int damaged;

    (void)state;
    while (append(entry(1, 1)) == APR_SUCCESS) {
        assert_true(appended++ < 1000);
    }
    assert_true(appended > 20);
    assert_int_equal(strlen(read_all(sf_log_spool_oldest(&spool, unit_pool), &damaged)),
                     (size_t)appended * (strlen(entry(1, 1)) + 1));
    assert_int_equal(append(entry(1, 1)), APR_SUCCESS);
}

/* A child may have opened the file before it became a segment, and append when that is removed. */
static void appends_again(void **state)
{
    char *path = apr_pstrdup(unit_pool, "");
    pid_t child;
    int i;

    (void)state;
    spool.bytes = 1024 * 1024;
    child = fork();
    if (child == 0) {
        for (i = 0; i < 2000; i++) {
            append(entry(1, i));
        }
        _exit(0);
    }
    for (i = 0; i < 2000;) {
        const char *oldest = sf_log_spool_oldest(&spool, unit_pool);
        sf_log_batch batch = { .end = 0 };
        int fd;

        if (!oldest) {
            continue;
        }
        fd = open(oldest, O_RDONLY);
        unlink(oldest); /* without having read it, as late as possible */
        while (sf_log_spool_read(unit_pool, fd, batch.end, 0, &batch)) {
            int j;

            for (j = 0; j < batch.entries->nelts; j++) {
                const char *json = APR_ARRAY_IDX(batch.entries, j, const char *);

                if (strcmp(json, path) != 0) { /* an entry may be read twice */
                    assert_string_equal(json, entry(1, i++));
                    path = apr_pstrdup(unit_pool, json);
                }
            }
        }
        close(fd);
    }
}

int unit_log_spool(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[]
        = { TEST(keeps_order),   TEST(passes_over_damage), TEST(waits_for_the_end),
            TEST(reads_batches), TEST(drops_the_oldest),   TEST(refuses_more_than_its_bytes),
            TEST(appends_again) };

    return cmocka_run_group_tests_name("log_spool", tests, NULL, NULL);
}
