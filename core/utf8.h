/* Text from outside is UTF-8 or refused. */
#ifndef SF_UTF8_H
#define SF_UTF8_H

#include <stddef.h>

/* A check that goes on from one piece of a text to the next; begins as {0}. */
typedef struct {
    int follow;        /* continuation bytes still to come */
    unsigned char low; /* what the next of them may be */
    unsigned char high;
    size_t length; /* characters begun so far */
} sf_utf8;

/* Checks `size` more bytes. Returns 0 where they are not UTF-8 as RFC 3629 defines it (no overlong
 * forms, no surrogates, nothing above U+10FFFF), or hold a NUL, which PostgreSQL's text cannot. */
int sf_utf8_feed(sf_utf8 *check, const char *bytes, size_t size);

/* Whether the text may end here. */
int sf_utf8_is_whole(const sf_utf8 *check);

/* How many characters (code points) the NUL-terminated `text` has, or -1 where it is not UTF-8. */
int sf_utf8_length(const char *text);

#endif
