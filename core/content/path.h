/* The Path of a Version: where a Function or an Asset is to be reached, and the key it is found by. */
#ifndef SF_PATH_H
#define SF_PATH_H

#include <apr_pools.h>

/* Checks a Path, which is valid UTF-8 and begins with a slash. Returns NULL, or an error message for the
 * client that names the character.
 *
 * A Path is "/", or one or more segments, each with a slash before it. A segment is not empty, and neither
 * "." nor "..": clients and proxies remove such segments. A segment has none of the characters that
 * Twilio's toolkit refuses, no backslash and no invisible character: control and format characters, white
 * space, default ignorable ones (Unicode's property) and noncharacters. A percent sign stands for itself. */
const char *sf_path_message(apr_pool_t *pool, const char *path);

#endif
