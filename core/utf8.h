/* The check that text from clients is UTF-8. */
#ifndef SF_UTF8_H
#define SF_UTF8_H

#include <stddef.h>

/* The state of a check between two pieces of a text; {0} at the beginning. */
typedef struct {
    int follow;        /* continuation bytes still to come */
    unsigned char low; /* the lowest and the highest value of the next of them */
    unsigned char high;
    size_t length; /* characters that have begun */
} sf_utf8;

/* Checks `size` more bytes. Returns 0 where they are not UTF-8 (RFC 3629: no overlong forms, no
 * surrogates, nothing above U+10FFFF), or hold a NUL, which PostgreSQL's text cannot have. */
int sf_utf8_feed(sf_utf8 *check, const char *bytes, size_t size);

/* Returns whether the last character is complete. */
int sf_utf8_is_whole(const sf_utf8 *check);

/* Returns the number of characters (code points) of the NUL-terminated `text`, or -1 where it is
 * not UTF-8. */
int sf_utf8_length(const char *text);

/* Moves `text`, which is valid UTF-8 and not at its end, behind its first character, and returns that. */
unsigned sf_utf8_next(const char **text);

#endif
