/* core/date.c: times as clients write them, and as the API shows them. */
#include "t/unit/unit.h"

#include "core/date.h"

typedef struct {
    const char *input;
    const char *expected;
} example;

static void reads(const example *examples, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        unit_text(examples[i].input, sf_date_read(unit_pool, examples[i].input),
                  examples[i].expected);
    }
}

static void reads_a_time_in_utc(void **state)
{
    static const example examples[] = {
        { "2018-11-10T20:00:00Z", "2018-11-10T20:00:00Z" },
        { "2020-02-29T23:59:59Z", "2020-02-29T23:59:59Z" },
        { "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z" },
        { "9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z" },
    };

    (void)state;
    reads(examples, UNIT_COUNT(examples));
}

static void keeps_six_digits_of_a_fraction_of_up_to_nine(void **state)
{
    static const example examples[] = {
        { "2018-11-10T20:00:00.1Z", "2018-11-10T20:00:00.1Z" },
        { "2018-11-10T20:00:00.123456Z", "2018-11-10T20:00:00.123456Z" },
        { "2018-11-10T20:00:00.123456789Z", "2018-11-10T20:00:00.123456Z" },
        { "2018-11-10T20:00:00.1234567890Z", NULL },
        { "2018-11-10T20:00:00.Z", NULL },
        { "2018-11-10T20:00:00,1Z", "2018-11-10T20:00:00.1Z" },
        { "2018-11-10T20:00:00,Z", NULL },
        { "2018-11-10T20:00.5Z", NULL }, /* of a minute */
    };

    (void)state;
    reads(examples, UNIT_COUNT(examples));
}

static void converts_an_offset_to_utc(void **state)
{
    static const example examples[] = {
        { "2018-11-10T20:00:00+01:00", "2018-11-10T19:00:00Z" },
        { "2018-11-10T20:00:00-05:30", "2018-11-11T01:30:00Z" },
        { "2018-11-10T20:00:00 01:00", "2018-11-10T19:00:00Z" }, /* "+", decoded from a form */
        { "2018-12-31T23:30:00.5-01:00", "2019-01-01T00:30:00.5Z" },
        { "2018-11-10T20:00:00+23:59", "2018-11-09T20:01:00Z" },
        { "2018-11-10T20:00:00+24:00", NULL },
        { "2018-11-10T20:00:00+00:60", NULL },
        { "2018-11-10T20:00:00+0100", "2018-11-10T19:00:00Z" },
        { "2018-11-10T20:00:00+01", "2018-11-10T19:00:00Z" },
        { "2018-11-10T20:00:00+01:", NULL },
        { "2018-11-10T20:00:00+010", NULL },
        { "2018-11-10T20:00:00+01:000", NULL },
        { "0001-01-01T00:00:00+00:01", NULL }, /* in the year 0 */
        { "9999-12-31T23:59:59-00:01", NULL }, /* in the year 10000 */
    };

    (void)state;
    reads(examples, UNIT_COUNT(examples));
}

static void reads_each_form_that_clients_write(void **state)
{
    static const example examples[] = {
        { "2018-11-10T20:00:00", "2018-11-10T20:00:00Z" }, /* no zone is UTC */
        { "2018-11-10T20:00", "2018-11-10T20:00:00Z" },    /* no seconds are 0 */
        { "2018-11-10T20:00Z", "2018-11-10T20:00:00Z" },
        { "2018-11-10T20:00+01:00", "2018-11-10T19:00:00Z" },
        { "2018-11-10 20:00:00Z", "2018-11-10T20:00:00Z" },
        { "2018-11-10t20:00:00z", "2018-11-10T20:00:00Z" },
        { "2018-11-10T20:00:00.5", "2018-11-10T20:00:00.5Z" },
    };

    (void)state;
    reads(examples, UNIT_COUNT(examples));
}

static void refuses_days_and_hours_that_do_not_exist(void **state)
{
    static const example examples[] = {
        { "2018-02-29T00:00:00Z", NULL }, { "1900-02-29T00:00:00Z", NULL },
        { "2018-13-01T00:00:00Z", NULL }, { "2018-00-01T00:00:00Z", NULL },
        { "2018-01-00T00:00:00Z", NULL }, { "2018-04-31T00:00:00Z", NULL },
        { "2018-11-10T24:00:00Z", NULL }, { "2018-11-10T20:60:00Z", NULL },
        { "2018-11-10T20:00:60Z", NULL }, { "0000-12-31T23:59:59Z", NULL },
    };

    (void)state;
    reads(examples, UNIT_COUNT(examples));
}

static void refuses_other_spellings(void **state)
{
    static const example examples[] = {
        { "", NULL },
        { "2018-11-10", NULL },
        { "2018-11-10T20", NULL },
        { "2018-11-10_20:00:00Z", NULL },
        { "20181110T200000Z", NULL },
        { "2018-11-10T20:00:00ZZ", NULL },
        { " 2018-11-10T20:00:00Z", NULL },
        { "18-11-10T20:00:00Z", NULL },
        { "2018-1-10T20:00:00Z", NULL },
        { "+018-11-10T20:00:00Z", NULL },
    };

    (void)state;
    reads(examples, UNIT_COUNT(examples));
}

static void writes_whole_seconds(void **state)
{
    static const example examples[] = {
        { "0", "1970-01-01T00:00:00Z" },
        { "1541880000000000", "2018-11-10T20:00:00Z" },
        { "1541880000999999", "2018-11-10T20:00:00Z" },
        { "1541880001000000", "2018-11-10T20:00:01Z" },
        { "1582934399000000", "2020-02-28T23:59:59Z" },
        { "1582934400000000", "2020-02-29T00:00:00Z" },
        { "-1",
          "1969-12-31T23:59:59Z" }, /* a second begins before its fractions, before 1970 too */
        { "-1000000", "1969-12-31T23:59:59Z" },
        { "-1000001", "1969-12-31T23:59:58Z" },
        { "-2208988800000000", "1900-01-01T00:00:00Z" },
        { "253402300799999999", "9999-12-31T23:59:59Z" },
    };
    char text[SF_DATE_ROOM];
    sf_date_day day = { 0 }; /* one for all: the day that was written before must not matter */
    size_t i;

    (void)state;
    for (i = 0; i < UNIT_COUNT(examples); i++) {
        const char *end = sf_date_write(text, &day, examples[i].input);

        unit_text(examples[i].input, text, examples[i].expected);
        unit_number(examples[i].input, end - text, (apr_int64_t)strlen(text));
    }
}

int unit_date(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_time_in_utc),
        cmocka_unit_test(keeps_six_digits_of_a_fraction_of_up_to_nine),
        cmocka_unit_test(converts_an_offset_to_utc),
        cmocka_unit_test(reads_each_form_that_clients_write),
        cmocka_unit_test(refuses_days_and_hours_that_do_not_exist),
        cmocka_unit_test(refuses_other_spellings),
        cmocka_unit_test(writes_whole_seconds),
    };

    return cmocka_run_group_tests_name("date", tests, NULL, NULL);
}
