/* Programs of the system that the runner uses: bubblewrap, pasta, nft and their like. */
#ifndef SF_PROGRAM_H
#define SF_PROGRAM_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <limits.h>

/* Seconds of processor time that no process reaches. */
#define SF_PROGRAM_NO_LIMIT (UINT_MAX - 1)

/* A program, and where it is to be had. */
typedef struct {
    const char *name;
    const char *package; /* of Debian */
} sf_program;

/* Finds the program in the folders of the system. Returns NULL with its path, or a message that names its package. */
const char *sf_program_find(apr_pool_t *pool, const sf_program *program, const char **path);

/* Appends the words of a list that ends with NULL. */
void sf_program_add(apr_array_header_t *arguments, const char *const *words);

/* Runs a program with no environment and no input, for at most ten seconds. The descriptors become 3, 4, ... in the
 * program. Returns NULL if it ended with the status 0, or a message: the first line that it wrote, or its status. */
const char *sf_program_run(apr_pool_t *pool, const char *const *arguments, const int *descriptors,
                           int descriptor_count);

#endif
