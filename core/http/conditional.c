#include "core/http/conditional.h"

#include <apr_siphash.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>
#include <stdlib.h>
#include <string.h>

#define HASH_DIGITS 16
#define REVISION_DIGITS 15 /* of hex, enough for the year 38000 */

/* Returns the revision in the strong tag at `text`, or -1 where this server did not make the
 * tag. */
static apr_int64_t revision_of(const char *text)
{
    const size_t digits = strspn(text + 1, "0123456789abcdef");

    if (*text != '"' || digits == 0 || digits > REVISION_DIGITS || text[1 + digits] != '-') {
        return -1;
    }
    return (apr_int64_t)strtoll(text + 1, NULL, 16);
}

const char *sf_conditional_expected(const sf_request *request)
{
    apr_pool_t *pool = request->r->pool;
    const char *header = apr_table_get(request->r->headers_in, "If-Match");
    apr_array_header_t *revisions = apr_array_make(pool, 1, sizeof(const char *));
    const char *tag;

    if (!header || strcmp(header, "*") == 0) {
        return NULL;
    }
    while ((tag = ap_get_list_item(pool, &header)) != NULL) {
        const apr_int64_t revision = revision_of(tag);

        if (revision >= 0) {
            APR_ARRAY_PUSH(revisions, const char *)
                = apr_psprintf(pool, "%" APR_INT64_T_FMT, revision);
        }
    }
    return apr_pstrcat(pool, "{", apr_array_pstrcat(pool, revisions, ','), "}", NULL);
}

/* Writes the low `digits` hex digits of a number. Returns the end of the text. */
static char *write_hex(char *to, apr_uint64_t number, int digits)
{
    int shift;

    for (shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
        *to++ = "0123456789abcdef"[number >> shift & 15];
    }
    return to;
}

/* Makes the tag "REVISION-HASH", in hex, the revision without leading zeros. */
static const char *make_tag(apr_pool_t *pool, apr_uint64_t revision, apr_uint64_t hash)
{
    char *tag = apr_palloc(pool, sizeof("\"-\"") + 2 * HASH_DIGITS);
    char *to = tag;
    int digits = 1;

    while (digits < HASH_DIGITS && revision >> 4 * digits) {
        digits++;
    }
    *to++ = '"';
    to = write_hex(to, revision, digits);
    *to++ = '-';
    to = write_hex(to, hash, HASH_DIGITS);
    *to++ = '"';
    *to = '\0';
    return tag;
}

void sf_conditional_headers(request_rec *r, const char *tag, apr_time_t updated)
{
    apr_table_setn(r->headers_out, "ETag", tag);
    apr_table_setn(r->headers_out, "Cache-Control", "no-cache");
    if (updated) {
        ap_update_mtime(r, updated);
        ap_set_last_modified(r);
    }
}

void sf_conditional_tag(const sf_request *request, const char *revision, const unsigned char *key,
                        const char *body, apr_size_t length)
{
    request_rec *r = request->r;
    const apr_time_t updated = revision ? apr_atoi64(revision) : 0;

    sf_conditional_headers(
        r, make_tag(r->pool, (apr_uint64_t)updated, apr_siphash24(body, length, key)), updated);
}

int sf_conditional_status(const sf_request *request)
{
    return sf_request_is_read(request) ? ap_meets_conditions(request->r) : OK;
}
