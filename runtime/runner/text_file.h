/* Small files that the runner generates for other programs. */
#ifndef SF_TEXT_FILE_H
#define SF_TEXT_FILE_H

#include <apr_pools.h>

/* Writes a file that only the runner's user may change, in place of one of the same name. Returns NULL, or a message of the
 * pool's. */
const char *sf_text_file_write(apr_pool_t *pool, const char *path, const char *text);

/* Makes a folder that only the runner's user may change, if it is not there. Returns NULL, or a message of the pool's. */
const char *sf_text_file_folder(apr_pool_t *pool, const char *path);

#endif
