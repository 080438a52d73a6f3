#include "core/utf8.h"

/* How many continuation bytes follow `lead`, and the range the first of them must be in (RFC 3629,
 * section 4); -1 where no character begins so. */
static int continuations(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead < 0x80) {
        return 0;
    }
    if (lead >= 0xC2 && lead <= 0xDF) {
        return 1;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        *low = lead == 0xE0 ? 0xA0 : 0x80;
        *high = lead == 0xED ? 0x9F : 0xBF;
        return 2;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        *low = lead == 0xF0 ? 0x90 : 0x80;
        *high = lead == 0xF4 ? 0x8F : 0xBF;
        return 3;
    }
    return -1;
}

int sf_utf8_length(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    int length = 0;

    while (*at) {
        unsigned char low;
        unsigned char high;
        int follow = continuations(*at++, &low, &high);

        if (follow < 0) {
            return -1;
        }
        for (; follow > 0; follow--, at++) {
            if (*at < low || *at > high) {
                return -1;
            }
            low = 0x80;
            high = 0xBF;
        }
        length++;
    }
    return length;
}
