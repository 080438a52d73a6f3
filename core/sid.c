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
        const char digit = text[i];

        if (digit >= 'A' && digit <= 'F') {
            digits[i] = (char)(digit - 'A' + 'a');
        }
        else if ((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f')) {
            digits[i] = digit;
        }
        else {
            return 0;
        }
    }
    digits[SF_SID_DIGITS] = '\0';
    return text[SF_SID_DIGITS] == '\0';
}

char *sf_sid_write(char *to, const char *prefix, const char *uuid)
{
    const apr_size_t length = strlen(uuid);

    memcpy(to, prefix, SF_SID_PREFIX);
    to += SF_SID_PREFIX;
    if (length == SF_UUID_LENGTH) { /* 8-4-4-4-12; done for every SID of every row */
        memcpy(to, uuid, 8);
        memcpy(to + 8, uuid + 9, 4);
        memcpy(to + 12, uuid + 14, 4);
        memcpy(to + 16, uuid + 19, 4);
        memcpy(to + 20, uuid + 24, 12);
        to += SF_SID_DIGITS;
    }
    else if (length == SF_SID_DIGITS) {
        memcpy(to, uuid, SF_SID_DIGITS);
        to += SF_SID_DIGITS;
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
