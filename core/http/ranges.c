#include "core/http/ranges.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#define UNIT "bytes="

void sf_ranges_ignore(request_rec *r)
{
    apr_table_unset(r->headers_in, "Range");
    apr_table_unset(r->headers_in, "Request-Range"); /* the old name of Range */
}

/* Reads where a range begins: "5-9", "5-" or, from the end of the content, "-5". Returns -1 where
 * the text is none of these. */
static apr_off_t read_start(const char *range, apr_off_t size)
{
    const int is_suffix = *range == '-';
    apr_off_t number;
    char *end;

    if (apr_strtoff(&number, range + is_suffix, &end, 10) != APR_SUCCESS || end == range + is_suffix
        || number < 0 || *end != (is_suffix ? '\0' : '-')) {
        return -1;
    }
    if (is_suffix) {
        return number < size ? size - number : 0;
    }
    return number;
}

/* Whether no range of the list begins before its predecessor. */
static int is_ascending(apr_pool_t *pool, const char *ranges, apr_off_t size)
{
    apr_off_t previous = 0;

    while (*ranges) {
        const char *range = ap_getword(pool, &ranges, ',');
        const apr_off_t start = read_start(range + strspn(range, " \t"), size);

        if (start < previous) {
            return 0;
        }
        previous = start;
    }
    return 1;
}

void sf_ranges_accept_ascending(request_rec *r, apr_off_t size)
{
    const char *header = apr_table_get(r->headers_in, "Range");

    if (!header) {
        header = apr_table_get(r->headers_in, "Request-Range");
    }
    if (!header || !strchr(header, ',') || ap_cstr_casecmpn(header, UNIT, strlen(UNIT)) != 0) {
        return; /* one range at most, or no range that httpd knows */
    }
    if (!is_ascending(r->pool, header + strlen(UNIT), size)) {
        sf_ranges_ignore(r);
    }
}
