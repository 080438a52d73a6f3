/* Text from outside is UTF-8 or refused. */
#ifndef SF_UTF8_H
#define SF_UTF8_H

/* How many characters (code points) the NUL-terminated `text` has, or -1 where it is not UTF-8 as
 * RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF. */
int sf_utf8_length(const char *text);

#endif
