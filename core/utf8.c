#include "core/utf8.h"

#include <string.h>

/* Takes the first byte of a character, and sets the bounds of the next one (RFC 3629, section
 * 4). Returns 0 where no character begins with it. */
static int take_lead(sf_utf8 *check, unsigned char lead)
{
    check->low = 0x80;
    check->high = 0xBF;
    check->length++;
    if (lead < 0x80) {
        check->follow = 0;
        return lead != 0;
    }
    if (lead >= 0xC2 && lead <= 0xDF) {
        check->follow = 1;
        return 1;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        check->low = lead == 0xE0 ? 0xA0 : 0x80;
        check->high = lead == 0xED ? 0x9F : 0xBF;
        check->follow = 2;
        return 1;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        check->low = lead == 0xF0 ? 0x90 : 0x80;
        check->high = lead == 0xF4 ? 0x8F : 0xBF;
        check->follow = 3;
        return 1;
    }
    return 0;
}

/* Takes a continuation byte. Returns 0 where it is outside the bounds. */
static int take_continuation(sf_utf8 *check, unsigned char byte)
{
    const int fits = byte >= check->low && byte <= check->high;

    check->low = 0x80;
    check->high = 0xBF;
    check->follow--;
    return fits;
}

int sf_utf8_feed(sf_utf8 *check, const char *bytes, size_t size)
{
    size_t i;

    for (i = 0; i < size; i++) {
        const unsigned char byte = (unsigned char)bytes[i];

        if (!(check->follow ? take_continuation(check, byte) : take_lead(check, byte))) {
            return 0;
        }
    }
    return 1;
}

int sf_utf8_is_whole(const sf_utf8 *check)
{
    return check->follow == 0;
}

int sf_utf8_length(const char *text)
{
    sf_utf8 check = { 0 };

    return sf_utf8_feed(&check, text, strlen(text)) && sf_utf8_is_whole(&check) ? (int)check.length
                                                                                : -1;
}

unsigned sf_utf8_next(const char **text)
{
    sf_utf8 check = { 0 };
    unsigned character = (unsigned char)*(*text)++;

    take_lead(&check, (unsigned char)character);
    if (check.follow > 0) {
        character &= 0x3Fu >> check.follow; /* a bit more of the lead says how many follow */
    }
    for (; check.follow > 0; check.follow--) {
        character = character << 6 | ((unsigned char)*(*text)++ & 0x3F);
    }
    return character;
}
