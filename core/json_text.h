/* JSON as text (RFC 8259): checks it, and removes the white space between its values. json.h makes
 * JSON from values. */
#ifndef SF_JSON_TEXT_H
#define SF_JSON_TEXT_H

#include <apr_pools.h>

/* The most arrays and objects inside each other. json-c has a limit of its own, which is higher. */
#define SF_JSON_DEPTH_MAX 30

/* Returns whether a text is one JSON value, with white space around it at most, and nothing that
 * json-c would take besides (Infinity, NaN, control characters in strings, comments). Texts that are
 * JSON and still refused: one deeper than SF_JSON_DEPTH_MAX, and one with the escape \u0000, behind
 * which C would lose the rest of a string. UTF-8 is not checked. */
int sf_json_is_valid(const char *text);

/* Returns a copy of a text that is JSON, without white space outside of strings. Its length goes to
 * `length`, unless that is NULL. */
const char *sf_json_compact(apr_pool_t *pool, const char *json, apr_size_t *length);

#endif
