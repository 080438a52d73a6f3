#include "core/content/path.h"

#include "core/utf8.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#define TOOLKIT_REFUSES "#;,?:@+&$()'\" "

/* Unicode's Cc, Cf, Zs, Zl, Zp and Default_Ignorable_Code_Point, and the noncharacters but for the last
 * two of each plane; ascending. docs/openapi.yaml has the same ones in UploadPath. */
static const struct {
    unsigned first;
    unsigned last;
} invisible[] = {
    { 0x0001, 0x0020 },   { 0x007F, 0x00A0 },   { 0x00AD, 0x00AD },   { 0x034F, 0x034F },
    { 0x0600, 0x0605 },   { 0x061C, 0x061C },   { 0x06DD, 0x06DD },   { 0x070F, 0x070F },
    { 0x0890, 0x0891 },   { 0x08E2, 0x08E2 },   { 0x115F, 0x1160 },   { 0x1680, 0x1680 },
    { 0x17B4, 0x17B5 },   { 0x180B, 0x180F },   { 0x2000, 0x200F },   { 0x2028, 0x202F },
    { 0x205F, 0x206F },   { 0x3000, 0x3000 },   { 0x3164, 0x3164 },   { 0xFDD0, 0xFDEF },
    { 0xFE00, 0xFE0F },   { 0xFEFF, 0xFEFF },   { 0xFFA0, 0xFFA0 },   { 0xFFF0, 0xFFFB },
    { 0x110BD, 0x110BD }, { 0x110CD, 0x110CD }, { 0x13430, 0x1343F }, { 0x1BCA0, 0x1BCA3 },
    { 0x1D173, 0x1D17A }, { 0xE0000, 0xE0FFF },
};

static int is_invisible(unsigned character)
{
    size_t i;

    for (i = 0; i < sizeof(invisible) / sizeof(*invisible); i++) {
        if (character <= invisible[i].last) {
            return character >= invisible[i].first;
        }
    }
    return 0;
}

static int is_refused(unsigned character)
{
    return (character < 0x80 && strchr(TOOLKIT_REFUSES "\\", (int)character))
           || is_invisible(character) || (character & 0xFFFE) == 0xFFFE;
}

static const char *check_characters(apr_pool_t *pool, const char *path)
{
    while (*path) {
        const char *at = path;
        const unsigned character = sf_utf8_next(&path);

        if (is_refused(character)) {
            return apr_psprintf(
                pool, "Path must not contain U+%04X%s", character,
                character < 0x80 && apr_isgraph(*at) ? apr_psprintf(pool, " (%c)", *at) : "");
        }
    }
    return NULL;
}

static const char *check_segments(const char *path)
{
    while (*path == '/') {
        const char *segment = path + 1;
        const size_t length = strcspn(segment, "/");

        if (length == 0) {
            return "Path must not have two slashes together, or one at its end";
        }
        if (length <= 2 && strspn(segment, ".") >= length) {
            return "Path must not have a segment . or ..";
        }
        path = segment + length;
    }
    return NULL;
}

const char *sf_path_message(apr_pool_t *pool, const char *path)
{
    const char *message = check_characters(pool, path);

    return message || strcmp(path, "/") == 0 ? message : check_segments(path);
}
