#include "core/sid.h"

#include <apr_lib.h>
#include <string.h>

int sf_sid_parse(const char *text, const char *prefix, char digits[SF_SID_DIGITS + 1])
{
    int i;

    if (strncmp(text, prefix, SF_SID_PREFIX) != 0) {
        return 0;
    }
    text += SF_SID_PREFIX;
    for (i = 0; i < SF_SID_DIGITS; i++) {
        if (!apr_isxdigit(text[i])) {
            return 0;
        }
        digits[i] = (char)apr_tolower(text[i]);
    }
    digits[SF_SID_DIGITS] = '\0';
    return text[SF_SID_DIGITS] == '\0';
}

char *sf_sid_write(char *to, const char *prefix, const char *uuid)
{
    const char *end = to + SF_SID_LENGTH;

    *to++ = prefix[0];
    *to++ = prefix[1];
    for (; *uuid && to < end; uuid++) {
        if (*uuid != '-') {
            *to++ = *uuid;
        }
    }
    *to = '\0';
    return to;
}

int sf_unique_name_is_valid(const char *text)
{
    const char *at = text;

    while (apr_isalnum(*at) || (*at && strchr("-_.", *at))) {
        at++;
    }
    return !*at && apr_isalnum(*text);
}
