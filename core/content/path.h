/* The Path of a Version: where a Function or an Asset is to be reached, and the key it is found by. */
#ifndef SF_PATH_H
#define SF_PATH_H

#include <apr_pools.h>

/* What is wrong with `path`, as a message for the client, or NULL. `path` is valid UTF-8 and begins with
 * a slash.
 *
 * A Path is "/", or one or more segments, each with a slash before it. A segment is not empty, and neither
 * "." nor "..": clients and proxies take those away. A segment has none of the characters that Twilio's
 * toolkit refuses, no backslash, and nothing that cannot be seen: control and format characters, white
 * space, what Unicode calls default ignorable, and noncharacters. A percent sign stands for itself. */
const char *sf_path_complaint(apr_pool_t *pool, const char *path);

#endif
