#include "runtime/runner/text_file.h"

#include <apr_file_io.h>
#include <apr_strings.h>
#include <string.h>

#define FILE_MODE (APR_FPROT_UREAD | APR_FPROT_UWRITE | APR_FPROT_GREAD | APR_FPROT_WREAD)
#define FOLDER_MODE (APR_FPROT_UREAD | APR_FPROT_UWRITE | APR_FPROT_UEXECUTE)

static const char *describe(apr_pool_t *pool, const char *path, apr_status_t rv)
{
    char reason[200];

    return rv == APR_SUCCESS ? NULL
                             : apr_psprintf(pool, "%s cannot be written: %s", path,
                                            apr_strerror(rv, reason, sizeof(reason)));
}

const char *sf_text_file_write(apr_pool_t *pool, const char *path, const char *text)
{
    const char *temporary = apr_pstrcat(pool, path, ".new", NULL);
    apr_file_t *file;
    apr_status_t rv = apr_file_open(
        &file, temporary, APR_FOPEN_WRITE | APR_FOPEN_CREATE | APR_FOPEN_TRUNCATE, FILE_MODE, pool);

    if (rv == APR_SUCCESS) {
        rv = apr_file_write_full(file, text, strlen(text), NULL);
        apr_file_close(file);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_file_rename(temporary, path, pool);
    }
    return describe(pool, path, rv);
}

const char *sf_text_file_folder(apr_pool_t *pool, const char *path)
{
    const apr_status_t rv = apr_dir_make(path, FOLDER_MODE, pool);

    return describe(pool, path, APR_STATUS_IS_EEXIST(rv) ? APR_SUCCESS : rv);
}
