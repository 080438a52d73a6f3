#include "directives/parse.h"

#include <apr_file_info.h>
#include <apr_fnmatch.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_uri.h>
#include <httpd.h>
#include <ap_regex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define COLLECTION "/Services"

#define HOUR apr_time_from_sec(60 * 60)
#define DAY (24 * HOUR)
#define MAX_AGE (3650 * DAY)
#define MAX_AGE_DIGITS 5

#define YEAR (365 * DAY)

#define MEMORY_BYTES_MAX (64 * 1024 * 1024)
#define STORED_BYTES_MAX (1024 * 1024 * 1024)
#define LOG_BYTES_MIN 1024
#define LOG_BYTES_MAX (1024 * 1024)
#define PATH_MAX_BYTES 1024
#define DISK_BYTES_MIN ((apr_off_t)1024 * 1024)
#define DISK_BYTES_MAX ((apr_off_t)1024 * 1024 * 1024 * 1024)
#define CONNECTIONS_MAX 1000
#define COUNT_MAX 100000

#define EXECUTION_TIME_MAX apr_time_from_sec(900)
#define ISOLATES_MAX 1000
#define CALLS_MAX 1000000
#define MEBIBYTE ((apr_off_t)1024 * 1024)
#define ISOLATE_MEMORY_MIN (64 * MEBIBYTE)
#define ISOLATE_MEMORY_MAX (16 * 1024 * MEBIBYTE)

#define DOMAIN_MAX 190
#define LABEL_MAX 63

#define RUNTIME_MAX 64
#define RUNTIME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_"

#define ORIGIN_HOST "([a-z0-9_-]+(\\.[a-z0-9_-]+)*|\\[[0-9a-f:.]+\\])"
#define ORIGIN_OWN_PORT "http://.*:80$|https://.*:443$"
#define ORIGIN "^(?!" ORIGIN_OWN_PORT ")[a-z][a-z0-9+.-]*://" ORIGIN_HOST "(:[1-9][0-9]{0,4})?$"
#define PORT_MAX 65535


/* Times --------------------------------------------------------------------------------------- */

const char *sf_parse_time(apr_pool_t *pool, const char *text, void *value)
{
    apr_interval_time_t *time = value;

    (void)pool;
    if (ap_timeout_parameter_parse(text, time, "s") != APR_SUCCESS || *time < apr_time_from_msec(1)
        || *time > DAY) {
        return "takes a time from 1ms to 24h, such as 2s or 500ms";
    }
    return NULL;
}

const char *sf_parse_time_or_off(apr_pool_t *pool, const char *text, void *value)
{
    if (ap_cstr_casecmp(text, "Off") == 0) {
        *(apr_interval_time_t *)value = 0;
        return NULL;
    }
    return sf_parse_time(pool, text, value) ? "takes a time from 1ms to 24h, such as 5min, or Off"
                                            : NULL;
}

/* Reads a number of days. Returns 0 where the text is not one. */
static int read_days(const char *text, apr_interval_time_t *time)
{
    const apr_size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > MAX_AGE_DIGITS || strcmp(text + digits, "d") != 0) {
        return 0;
    }
    *time = atoi(text) * DAY;
    return 1;
}

/* Reads a number of days, or a time with one of httpd's units. Returns 0 where the text is
 * neither. */
static int read_age(const char *text, apr_interval_time_t *age)
{
    const apr_size_t digits = strspn(text, "0123456789");

    if (read_days(text, age)) {
        return 1;
    }
    return text[digits] && ap_timeout_parameter_parse(text, age, "s") == APR_SUCCESS;
}

const char *sf_parse_age(apr_pool_t *pool, const char *text, void *value)
{
    apr_interval_time_t *age = value;

    (void)pool;
    if (ap_cstr_casecmp(text, "Off") == 0) {
        *age = 0;
        return NULL;
    }
    if (!read_age(text, age) || *age < HOUR || *age > MAX_AGE) {
        return "takes a time from 1h to 3650d, such as 30d, or Off";
    }
    return NULL;
}

const char *sf_parse_max_age(apr_pool_t *pool, const char *text, void *value)
{
    apr_interval_time_t *time = value;

    (void)pool;
    if ((!read_days(text, time) && ap_timeout_parameter_parse(text, time, "s") != APR_SUCCESS)
        || *time < 0 || *time > YEAR || *time % APR_USEC_PER_SEC != 0) {
        return "takes whole seconds up to 365d, such as 0, 5min or 30d";
    }
    return NULL;
}

const char *sf_parse_execution_time(apr_pool_t *pool, const char *text, void *value)
{
    apr_interval_time_t *time = value;

    (void)pool;
    if (ap_timeout_parameter_parse(text, time, "s") != APR_SUCCESS || *time < apr_time_from_sec(1)
        || *time > EXECUTION_TIME_MAX || *time % APR_USEC_PER_SEC != 0) {
        return "takes whole seconds from 1s to 900s, such as 10s";
    }
    return NULL;
}


/* Numbers ------------------------------------------------------------------------------------- */

/* The limits of a number of bytes. */
typedef struct {
    apr_off_t minimum;
    apr_off_t maximum;
} byte_limits;

/* Multiplies the number by the unit at `unit`: K, M, G or T, or none. Returns 0 where the text is no unit or the
 * product is too large. */
static int multiply(apr_off_t *number, const char *unit)
{
    static const char units[] = "KMGT";
    const char *found = *unit ? strchr(units, apr_toupper(*unit)) : NULL;
    int i;

    if (*unit && (!found || unit[1])) {
        return 0;
    }
    for (i = 0; found && i <= found - units; i++) {
        if (*number > DISK_BYTES_MAX) {
            return 0;
        }
        *number *= 1024;
    }
    return 1;
}

/* Writes a number of bytes with its largest whole unit. */
static const char *bytes_text(apr_pool_t *pool, apr_off_t bytes)
{
    static const char *const units[] = { "", "K", "M", "G", "T" };
    int i = 0;

    while (bytes >= 1024 && bytes % 1024 == 0) {
        bytes /= 1024;
        i++;
    }
    return apr_psprintf(pool, "%" APR_OFF_T_FMT "%s", bytes, units[i]);
}

static const char *parse_bytes(apr_pool_t *pool, const char *text, byte_limits limits,
                               apr_off_t *bytes)
{
    char *end;

    if (!apr_isdigit(*text) || apr_strtoff(bytes, text, &end, 10) != APR_SUCCESS
        || !multiply(bytes, end) || *bytes < limits.minimum || *bytes > limits.maximum) {
        return apr_psprintf(pool, "takes a number of bytes from %s to %s, such as 4194304 or 4M",
                            bytes_text(pool, limits.minimum), bytes_text(pool, limits.maximum));
    }
    return NULL;
}

const char *sf_parse_memory_bytes(apr_pool_t *pool, const char *text, void *value)
{
    return parse_bytes(pool, text, (byte_limits){ 1, MEMORY_BYTES_MAX }, value);
}

const char *sf_parse_stored_bytes(apr_pool_t *pool, const char *text, void *value)
{
    return parse_bytes(pool, text, (byte_limits){ 1, STORED_BYTES_MAX }, value);
}

const char *sf_parse_disk_bytes(apr_pool_t *pool, const char *text, void *value)
{
    return parse_bytes(pool, text, (byte_limits){ DISK_BYTES_MIN, DISK_BYTES_MAX }, value);
}

/* Reads a number from 1 to `maximum`. Returns 0 where the text is no such number. */
static int read_number(const char *text, long maximum, int *value)
{
    char *end;
    const long number = strtol(text, &end, 10);

    if (*end || end == text || number < 1 || number > maximum) {
        return 0;
    }
    *value = (int)number;
    return 1;
}

const char *sf_parse_connections(apr_pool_t *pool, const char *text, void *value)
{
    (void)pool;
    return read_number(text, CONNECTIONS_MAX, value) ? NULL : "takes a number from 1 to 1000";
}

const char *sf_parse_isolates(apr_pool_t *pool, const char *text, void *value)
{
    (void)pool;
    return read_number(text, ISOLATES_MAX, value) ? NULL : "takes a number from 1 to 1000";
}

const char *sf_parse_calls(apr_pool_t *pool, const char *text, void *value)
{
    (void)pool;
    return read_number(text, CALLS_MAX, value) ? NULL : "takes a number from 1 to 1000000";
}

const char *sf_parse_isolate_memory(apr_pool_t *pool, const char *text, void *value)
{
    const apr_size_t digits = strspn(text, "0123456789");
    const char *unit = text + digits;
    apr_off_t *bytes = value;
    char *end;

    (void)pool;
    if (digits > 0 && apr_strtoff(bytes, text, &end, 10) == APR_SUCCESS
        && *bytes <= ISOLATE_MEMORY_MAX) {
        *bytes *= strcmp(unit, "M") == 0   ? MEBIBYTE
                  : strcmp(unit, "G") == 0 ? 1024 * MEBIBYTE
                                           : !*unit;
        if (*bytes >= ISOLATE_MEMORY_MIN && *bytes <= ISOLATE_MEMORY_MAX) {
            return NULL;
        }
    }
    return "takes a number of bytes, or one with M or G, from 64M to 16G, such as 256M";
}

const char *sf_parse_count(apr_pool_t *pool, const char *text, void *value)
{
    int *limit = value;

    (void)pool;
    if (ap_cstr_casecmp(text, "Off") == 0) {
        *limit = 0;
        return NULL;
    }
    return read_number(text, COUNT_MAX, limit) ? NULL : "takes a number from 1 to 100000, or Off";
}


/* Names and addresses ------------------------------------------------------------------------- */

/* Whether the text can stand in a header unescaped. */
static int is_graphic(const char *text)
{
    while (apr_isgraph(*text)) {
        text++;
    }
    return !*text;
}

const char *sf_parse_base_url(apr_pool_t *pool, const char *text, void *value)
{
    const char **url = value;
    apr_uri_t parsed;

    if (apr_uri_parse(pool, text, &parsed) != APR_SUCCESS || !parsed.scheme
        || (strcmp(parsed.scheme, "https") != 0 && strcmp(parsed.scheme, "http") != 0)
        || !parsed.hostname || !*parsed.hostname || parsed.query || parsed.fragment || parsed.user
        || text[strlen(text) - 1] == '/' || !is_graphic(text)) {
        return "takes a URL such as https://serverless.example.com, without a slash at its end";
    }
    *url = text;
    return NULL;
}

/* Returns the length of the label at the beginning of the text, or 0 where there is no valid
 * one. */
static apr_size_t label_length(const char *text)
{
    const apr_size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

    if (length > LABEL_MAX || *text == '-' || (length > 0 && text[length - 1] == '-')) {
        return 0;
    }
    return length;
}

static int is_domain(const char *text)
{
    const char *at = text;

    for (;;) {
        const apr_size_t length = label_length(at);

        if (length == 0) {
            return 0;
        }
        at += length;
        if (*at == '\0') {
            return at - text <= DOMAIN_MAX;
        }
        if (*at != '.') {
            return 0;
        }
        at++;
    }
}

const char *sf_parse_domain(apr_pool_t *pool, const char *text, void *value)
{
    const char **domain = value;

    (void)pool;
    if (!is_domain(text)) {
        return "takes a domain name in lower case, such as twil.io";
    }
    *domain = text;
    return NULL;
}

const char *sf_parse_scheme(apr_pool_t *pool, const char *text, void *value)
{
    static const char *const schemes[] = { "https", "http" };
    const char **scheme = value;
    size_t i;

    (void)pool;
    for (i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
        if (ap_cstr_casecmp(text, schemes[i]) == 0) {
            *scheme = schemes[i];
            return NULL;
        }
    }
    return "takes https or http";
}

const char *sf_parse_executable(apr_pool_t *pool, const char *text, void *value)
{
    const char **path = value;
    apr_finfo_t found;

    if (*text != '/' || apr_stat(&found, text, APR_FINFO_TYPE | APR_FINFO_PROT, pool) != APR_SUCCESS
        || found.filetype != APR_REG || !(found.protection & APR_FPROT_WEXECUTE)) {
        return "takes the path of an executable file, such as /usr/bin/node";
    }
    *path = text;
    return NULL;
}

const char *sf_parse_log_bytes(apr_pool_t *pool, const char *text, void *value)
{
    return parse_bytes(pool, text, (byte_limits){ LOG_BYTES_MIN, LOG_BYTES_MAX }, value)
               ? "takes a number of bytes from 1K to 1M, such as 16K"
               : NULL;
}

const char *sf_parse_path(apr_pool_t *pool, const char *text, void *value)
{
    (void)pool;
    *(const char **)value = text;
    return *text && strlen(text) <= PATH_MAX_BYTES ? NULL : "takes a path";
}

const char *sf_parse_log_target(apr_pool_t *pool, const char *text, void *value)
{
    const char *command = text + (*text == '|');

    return sf_parse_path(pool, command, value) ? "takes the path of a file, or \"|\" and a command"
                                               : (*(const char **)value = text, NULL);
}

const char *sf_parse_socket(apr_pool_t *pool, const char *text, void *value)
{
    const char **path = value;

    (void)pool;
    if (*text != '/' || strlen(text) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        return "takes the absolute path of a socket, of at most 107 bytes";
    }
    *path = text;
    return NULL;
}

const char *sf_parse_runtimes(apr_pool_t *pool, const char *text, void *value)
{
    apr_array_header_t *runtimes = value;

    do {
        const char *name = ap_getword_conf(pool, &text);
        const apr_size_t length = strlen(name);

        if (length == 0 || length > RUNTIME_MAX || strspn(name, RUNTIME_CHARACTERS) != length) {
            return "takes names of up to 64 letters, digits, '.', '-' and '_'";
        }
        APR_ARRAY_PUSH(runtimes, const char *) = name;
    } while (*text);
    return NULL;
}

/* The number after the text's last colon, or 0 where it is the scheme's colon. */
static int port_of(const char *origin)
{
    return atoi(strrchr(origin, ':') + 1);
}

const char *sf_parse_origin(apr_pool_t *pool, const char *text, void *value)
{
    ap_regex_t *pattern = ap_pregcomp(pool, ORIGIN, 0);
    const char **origin = value;
    char *lower_case = apr_pstrdup(pool, text);

    ap_str_tolower(lower_case);
    if (strchr(text, '*')) {
        return "does not take *: any page could then act with the credentials that its visitor's "
               "browser keeps; name each origin";
    }
    if (ap_regexec(pattern, lower_case, 0, NULL, 0) != 0 || port_of(lower_case) > PORT_MAX) {
        return "takes None, or origins such as https://app.example.com, without a path and without "
               "the scheme's own port";
    }
    *origin = lower_case;
    return NULL;
}

const char *sf_parse_prefix(apr_pool_t *pool, const char *location)
{
    const apr_size_t length = strlen(location);
    const apr_size_t tail = strlen(COLLECTION);

    if (length < tail || strcmp(location + length - tail, COLLECTION) != 0
        || apr_fnmatch_test(location)) {
        return NULL;
    }
    return apr_pstrmemdup(pool, location, length - tail);
}
