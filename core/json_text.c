#include "core/json_text.h"

#include <ctype.h>
#include <string.h>

#define BLANKS " \t\r\n"

/* Compact text ----------------------------------------------------------------------------------- */

const char *sf_json_compact(apr_pool_t *pool, const char *json, apr_size_t *length)
{
    char *text = apr_palloc(pool, strlen(json) + 1);
    char *to = text;
    int in_string = 0;

    for (; *json; json++) {
        if (in_string || !strchr(BLANKS, *json)) {
            *to++ = *json;
        }
        if (*json == '"') {
            in_string = !in_string;
        }
        else if (in_string && *json == '\\' && json[1]) {
            *to++ = *++json;
        }
    }
    *to = '\0';
    if (length) {
        *length = (apr_size_t)(to - text);
    }
    return text;
}


/* The grammar ------------------------------------------------------------------------------------ */

/* Each function takes the beginning of a construct, and returns its end, or NULL where the text is
 * not such a construct. */

static const char *skip_value(const char *at, int depth);

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, BLANKS);
}

/* Takes a text that stands there literally. */
static const char *skip_word(const char *at, const char *word)
{
    const size_t length = strlen(word);

    return strncmp(at, word, length) == 0 ? at + length : NULL;
}

/* Takes what follows a backslash. */
static const char *skip_escape(const char *at)
{
    int i;

    if (*at != 'u') {
        return *at && strchr("\"\\/bfnrt", *at) ? at + 1 : NULL;
    }
    for (i = 1; i <= 4; i++) {
        if (!isxdigit((unsigned char)at[i])) {
            return NULL;
        }
    }
    return strncmp(at, "u0000", 5) == 0 ? NULL : at + 5;
}

static const char *skip_string(const char *at)
{
    if (*at++ != '"') {
        return NULL;
    }
    while (at && *at != '"') {
        if ((unsigned char)*at < ' ') { /* or the end */
            return NULL;
        }
        at = *at == '\\' ? skip_escape(at + 1) : at + 1;
    }
    return at ? at + 1 : NULL;
}

/* Takes one digit or more. */
static const char *skip_digits(const char *at)
{
    const size_t count = strspn(at, "0123456789");

    return count > 0 ? at + count : NULL;
}

static const char *skip_number(const char *at)
{
    at += *at == '-';
    at = *at == '0' ? at + 1 : skip_digits(at);
    if (at && *at == '.') {
        at = skip_digits(at + 1);
    }
    if (at && (*at == 'e' || *at == 'E')) {
        at++;
        at = skip_digits(at + (*at == '+' || *at == '-'));
    }
    return at;
}

/* Takes a member of an object, or an element of an array, with the white space around it. */
static const char *skip_item(const char *at, int is_member, int depth)
{
    at = skip_blanks(at);
    if (is_member) {
        at = skip_string(at);
        at = at ? skip_word(skip_blanks(at), ":") : NULL;
    }
    at = at ? skip_value(skip_blanks(at), depth) : NULL;
    return at ? skip_blanks(at) : NULL;
}

/* Takes an object or an array. */
static const char *skip_items(const char *at, int depth)
{
    const int is_object = *at == '{';
    const char end = is_object ? '}' : ']';

    if (depth >= SF_JSON_DEPTH_MAX) {
        return NULL;
    }
    if (*skip_blanks(at + 1) == end) {
        return skip_blanks(at + 1) + 1;
    }
    do {
        at = skip_item(at + 1, is_object, depth + 1);
    } while (at && *at == ',');
    return at && *at == end ? at + 1 : NULL;
}

/* Takes a value that `depth` arrays and objects contain. */
static const char *skip_value(const char *at, int depth)
{
    switch (*at) {
    case '{':
    case '[':
        return skip_items(at, depth);
    case '"':
        return skip_string(at);
    case 't':
        return skip_word(at, "true");
    case 'f':
        return skip_word(at, "false");
    case 'n':
        return skip_word(at, "null");
    default:
        return skip_number(at);
    }
}

int sf_json_is_valid(const char *text)
{
    const char *end = skip_item(text, 0, 0);

    return end && !*end;
}
