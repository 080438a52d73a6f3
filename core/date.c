#include "core/date.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <time.h>

#define FRACTION_READ 9
#define FRACTION_KEPT 6

/* Whether the text begins like the pattern, in which 0 stands for any digit. */
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

/* The seconds since 1970 of a time without a zone; 0 where there is no such day or hour. */
static int read_seconds(const char *text, time_t *seconds)
{
    struct tm wanted = { .tm_year = 100 * two_digits(text) + two_digits(text + 2) - 1900,
                         .tm_mon = two_digits(text + 5) - 1,
                         .tm_mday = two_digits(text + 8),
                         .tm_hour = two_digits(text + 11),
                         .tm_min = two_digits(text + 14),
                         .tm_sec = two_digits(text + 17) };
    struct tm found = wanted;

    *seconds = timegm(&found); /* which makes 1 March of 30 February; APR's begins in 1970 */
    return found.tm_mon == wanted.tm_mon && found.tm_mday == wanted.tm_mday
           && found.tm_hour == wanted.tm_hour && found.tm_min == wanted.tm_min
           && found.tm_sec == wanted.tm_sec;
}

/* The seconds that a zone is ahead of UTC; 0 as the result where it is none. */
static int read_zone(const char *text, time_t *ahead)
{
    *ahead = 0;
    if (strcmp(text, "Z") == 0) {
        return 1;
    }
    if (!*text || !strchr("+- ", *text) || !looks_like(text + 1, "00:00") || text[6]
        || two_digits(text + 1) > 23 || two_digits(text + 4) > 59) {
        return 0;
    }
    *ahead = 60 * (60 * two_digits(text + 1) + two_digits(text + 4));
    *ahead = *text == '-' ? -*ahead : *ahead;
    return 1;
}

/* The length of ".123", without it 0, or -1 where it is not one. */
static int read_fraction(const char *text)
{
    int length = *text == '.' ? 1 + (int)strspn(text + 1, "0123456789") : 0;

    return length == 1 || length > 1 + FRACTION_READ ? -1 : length;
}

const char *sf_date_read(apr_pool_t *pool, const char *text)
{
    const char *rest = text + sizeof("2018-11-10T20:00:00") - 1;
    time_t seconds;
    time_t ahead;
    struct tm utc;
    int fraction;

    if (!looks_like(text, "0000-00-00T00:00:00") || !read_seconds(text, &seconds)) {
        return NULL;
    }
    fraction = read_fraction(rest);
    if (fraction < 0 || !read_zone(rest + fraction, &ahead)) {
        return NULL;
    }
    seconds -= ahead;
    if (!gmtime_r(&seconds, &utc) || utc.tm_year + 1900 < 1 || utc.tm_year + 1900 > 9999) {
        return NULL;
    }
    return apr_psprintf(pool, "%04d-%02d-%02dT%02d:%02d:%02d%.*sZ", utc.tm_year + 1900,
                        utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                        fraction > 1 + FRACTION_KEPT ? 1 + FRACTION_KEPT : fraction, rest);
}
