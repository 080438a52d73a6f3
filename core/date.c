#include "core/date.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_time.h>
#include <string.h>
#include <time.h>

#define SECONDS_OF_DAY (24 * 60 * 60)

#define FRACTION_READ 9
#define FRACTION_KEPT 6


/* Reading ---------------------------------------------------------------------------------------- */

/* Whether the text begins with the pattern, in which 0 stands for any digit. */
static int looks_like(const char *text, const char *pattern)
{
    for (; *pattern; pattern++, text++) {
        if (*pattern == '0' ? !apr_isdigit(*text) : *pattern != *text) {
            return 0;
        }
    }
    return 1;
}

static int two_digits(const char *text)
{
    return 10 * (text[0] - '0') + text[1] - '0';
}

/* The seconds since 1970 of a date and a time of day, without a zone; seconds may be left out. Returns the
 * text after them, or NULL where there is no such day or hour. */
static const char *read_seconds(const char *text, time_t *seconds)
{
    struct tm wanted = { .tm_year = 0 };
    struct tm found;
    const char *end = text + sizeof("2018-11-10T20:00") - 1;

    if (!looks_like(text, "0000-00-00") || !text[10] || !strchr("Tt ", text[10])
        || !looks_like(text + 11, "00:00")) {
        return NULL;
    }
    wanted.tm_year = 100 * two_digits(text) + two_digits(text + 2) - 1900;
    wanted.tm_mon = two_digits(text + 5) - 1;
    wanted.tm_mday = two_digits(text + 8);
    wanted.tm_hour = two_digits(text + 11);
    wanted.tm_min = two_digits(text + 14);
    if (looks_like(end, ":00")) {
        wanted.tm_sec = two_digits(end + 1);
        end += 3;
    }
    else if (*end == '.' || *end == ',') { /* a fraction of a minute */
        return NULL;
    }
    found = wanted;
    *seconds = timegm(&found); /* makes 1 March of 30 February; APR's function begins in 1970 */
    return found.tm_mon == wanted.tm_mon && found.tm_mday == wanted.tm_mday
                   && found.tm_hour == wanted.tm_hour && found.tm_min == wanted.tm_min
                   && found.tm_sec == wanted.tm_sec
               ? end
               : NULL;
}

/* The minutes of an offset, "00:00", "0000" or "00"; -1 where the text is no offset. */
static int read_offset(const char *text)
{
    const char *minutes = text + 2;

    if (!looks_like(text, "00") || two_digits(text) > 23) {
        return -1;
    }
    if (*minutes == '\0') {
        return 60 * two_digits(text);
    }
    if (*minutes == ':') {
        minutes++;
    }
    if (!looks_like(minutes, "00") || minutes[2] || two_digits(minutes) > 59) {
        return -1;
    }
    return 60 * two_digits(text) + two_digits(minutes);
}

/* The seconds that a zone is ahead of UTC; 0 as the result where the text is no zone. No zone is UTC. */
static int read_zone(const char *text, time_t *ahead)
{
    int minutes;

    *ahead = 0;
    if (*text == '\0' || strcmp(text, "Z") == 0 || strcmp(text, "z") == 0) {
        return 1;
    }
    minutes = strchr("+- ", *text) ? read_offset(text + 1) : -1;
    *ahead = *text == '-' ? -60 * minutes : 60 * minutes;
    return minutes >= 0;
}

/* The length of ".123" or ",123"; 0 where there is no fraction, -1 where it is malformed. */
static int read_fraction(const char *text)
{
    int digits;

    if (*text != '.' && *text != ',') {
        return 0;
    }
    digits = (int)strspn(text + 1, "0123456789");
    return digits == 0 || digits > FRACTION_READ ? -1 : 1 + digits;
}

const char *sf_date_read(apr_pool_t *pool, const char *text)
{
    time_t seconds;
    time_t ahead;
    struct tm utc;
    int fraction;
    int kept;

    text = read_seconds(text, &seconds);
    fraction = text ? read_fraction(text) : -1;
    if (fraction < 0 || !read_zone(text + fraction, &ahead)) {
        return NULL;
    }
    seconds -= ahead;
    if (!gmtime_r(&seconds, &utc) || utc.tm_year + 1900 < 1 || utc.tm_year + 1900 > 9999) {
        return NULL;
    }
    kept = fraction > 1 + FRACTION_KEPT ? FRACTION_KEPT : fraction - 1;
    return apr_psprintf(pool, "%04d-%02d-%02dT%02d:%02d:%02d%s%.*sZ", utc.tm_year + 1900,
                        utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                        fraction > 0 ? "." : "", fraction > 0 ? kept : 0, text + 1);
}


/* Writing ---------------------------------------------------------------------------------------- */

/* Returns the whole seconds of a number of microseconds, rounded down. Each row has two dates, and
 * strtoll() takes five times as long. */
static apr_int64_t seconds_of(const char *microseconds)
{
    const int negative = *microseconds == '-';
    const char *digit = microseconds + negative;
    apr_int64_t value = 0;

    for (; *digit; digit++) {
        value = 10 * value + *digit - '0';
    }
    return negative ? -(value + APR_USEC_PER_SEC - 1) / APR_USEC_PER_SEC : value / APR_USEC_PER_SEC;
}

/* Writes the last two digits of a number. Returns the address behind them. */
static char *write_two(char *to, int number)
{
    *to++ = (char)('0' + number / 10 % 10);
    *to++ = (char)('0' + number % 10);
    return to;
}

static char *write_two_after(char *to, char before, int number)
{
    *to = before;
    return write_two(to + 1, number);
}

/* Writes the day with this number to the cache, unless it is there. */
static void write_day(sf_date_day *day, apr_int64_t number)
{
    char *to = day->text;
    apr_time_exp_t at;

    if (*to && day->number == number) {
        return;
    }
    apr_time_exp_gmt(&at, apr_time_from_sec(number * SECONDS_OF_DAY));
    to = write_two(to, at.tm_year / 100 + 19);
    to = write_two(to, at.tm_year % 100);
    to = write_two_after(to, '-', at.tm_mon + 1);
    write_two_after(to, '-', at.tm_mday);
    day->number = number;
}

char *sf_date_write(char *to, sf_date_day *day, const char *microseconds)
{
    const apr_int64_t seconds = seconds_of(microseconds);
    int rest = (int)(seconds % SECONDS_OF_DAY);

    rest += rest < 0 ? SECONDS_OF_DAY : 0;
    write_day(day, (seconds - rest) / SECONDS_OF_DAY);
    memcpy(to, day->text, SF_DATE_DAY_LENGTH);
    to = write_two_after(to + SF_DATE_DAY_LENGTH, 'T', rest / 3600);
    to = write_two_after(to, ':', rest / 60 % 60);
    to = write_two_after(to, ':', rest % 60);
    *to++ = 'Z';
    *to = '\0';
    return to;
}
