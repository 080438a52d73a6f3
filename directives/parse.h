/* The texts of directives as values. Pure functions: no httpd configuration, no state.
 *
 * Each parser takes the directive's argument and writes the value to `value`, whose type its
 * comment names. The result is NULL, or the rest of an error message whose subject is the
 * directive, as "takes a number from 1 to 1000"; the value is unspecified then. Both live as
 * long as `pool`. */
#ifndef SF_PARSE_H
#define SF_PARSE_H

#include <apr_pools.h>

typedef const char *sf_parser(apr_pool_t *pool, const char *text, void *value);

/* apr_interval_time_t: a time from 1ms to 24h, with httpd's units; seconds where the text has
 * none. */
sf_parser sf_parse_time;

/* apr_interval_time_t: the same, or Off, which is 0. */
sf_parser sf_parse_time_or_off;

/* apr_interval_time_t: a time from one hour to ten years in days ("30d") or with one of httpd's
 * units, or Off, which is 0. A unit is required: seconds taken for days would remove entries
 * that are still wanted. */
sf_parser sf_parse_age;

/* apr_interval_time_t: a time in whole seconds from 0 to one year, in days ("30d") or as
 * sf_parse_time. */
sf_parser sf_parse_max_age;

/* Numbers of bytes may have one of the units K, M, G and T, powers of 1024. */

/* apr_off_t: a number of bytes that httpd may hold in memory, several times as large as JSON
 * text. */
sf_parser sf_parse_memory_bytes;

/* apr_off_t: a number of bytes that pass through httpd in chunks. */
sf_parser sf_parse_stored_bytes;

/* apr_off_t: a number of bytes of a disk: from one MiB to one TiB. */
sf_parser sf_parse_disk_bytes;

/* int: a number of connections, from 1 to 1000. */
sf_parser sf_parse_connections;

/* int: a number of requests, from 1 to 100000, or Off, which is 0. */
sf_parser sf_parse_count;

/* apr_interval_time_t: a time in whole seconds from 1s to 900s, with httpd's units. */
sf_parser sf_parse_execution_time;

/* int: a number of isolates or of calls at a time, from 1 to 1000. */
sf_parser sf_parse_isolates;

/* int: a number of calls, from 1 to 1000000. */
sf_parser sf_parse_calls;

/* apr_off_t: the memory of an isolate in bytes, or with M or G behind the number: from 64M to 16G. */
sf_parser sf_parse_isolate_memory;

/* const char *: the path of a socket, which is at most as long as an address of a Unix socket. */
sf_parser sf_parse_socket;

/* apr_off_t: the bytes of log entries, from 1 KiB to 1 MiB. */
sf_parser sf_parse_log_bytes;

/* const char *: the path of a file or folder. */
sf_parser sf_parse_path;

/* const char *: the path of a file, or "|" and a command. */
sf_parser sf_parse_log_target;

/* const char *: an http or https URL without a trailing slash, query, fragment or user, of
 * characters that can stand in a header. */
sf_parser sf_parse_base_url;

/* const char *: a domain name in lower case: labels of letters, digits and hyphens with dots
 * between. At most 190 characters, so that 63 are left for the label before it. */
sf_parser sf_parse_domain;

/* const char *: "https" or "http". */
sf_parser sf_parse_scheme;

/* const char *: the path of an executable file. */
sf_parser sf_parse_executable;

/* apr_array_header_t of const char *, to which the names in the text are added: Runtimes. */
sf_parser sf_parse_runtimes;

/* const char *: an origin as browsers write it, in lower case: "https://app.example.com", or
 * with a port that is not the scheme's own. */
sf_parser sf_parse_origin;

/* const char *: the part of a <Location>'s path before /Services, as "/v1". NULL as the value
 * where the path ends otherwise or is a pattern: its match has no fixed length. */
const char *sf_parse_prefix(apr_pool_t *pool, const char *location);

#endif
