#include "core/process/restriction.h"
#include "core/process/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CLOSED (-1)

/* Rights that kernels have had since the versions 1 and 3 of Landlock; a header may be older than the kernel. */
#define RIGHTS_1 ((1ULL << 13) - 1)
#define RIGHT_TRUNCATE (1ULL << 14)
#define VERSION_OF_TRUNCATE 3

#define READ_FILE LANDLOCK_ACCESS_FS_READ_FILE
#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define RUN (READ | LANDLOCK_ACCESS_FS_EXECUTE)
#define RUN_FILE (READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE)

/* The parts of the system that a program needs. */
static const struct {
    const char *path;
    unsigned long long rights;
} system_paths[] = {
    { "/usr", RUN },
    { "/bin", RUN },
    { "/sbin", RUN },
    { "/lib", RUN },
    { "/lib32", RUN },
    { "/lib64", RUN },
    { "/libx32", RUN },
    { "/etc/alternatives", READ },
    { "/etc/ld.so.cache", READ_FILE },
    { "/etc/ssl/openssl.cnf", READ_FILE },
    { "/dev/null", READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE },
    { "/dev/urandom", READ_FILE },
};

#define SYSTEM_PATHS (sizeof(system_paths) / sizeof(*system_paths))


/* Files --------------------------------------------------------------------------------------- */

/* Permits the rights to a file, or to all below a folder. A missing file needs no permission. */
static void permit(int files, const char *path, unsigned long long rights)
{
    struct landlock_path_beneath_attr rule = { .allowed_access = rights };

    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd >= 0) {
        syscall(SYS_landlock_add_rule, files, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
        close(rule.parent_fd);
    }
}

/* Returns a ruleset that forbids everything, or CLOSED where the kernel has no Landlock. */
static int make_ruleset(unsigned long long *rights)
{
    const long version
        = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    const struct landlock_ruleset_attr ruleset
        = { .handled_access_fs
            = version >= VERSION_OF_TRUNCATE ? RIGHTS_1 | RIGHT_TRUNCATE : RIGHTS_1 };

    *rights = ruleset.handled_access_fs;
    return version < 1 ? CLOSED
                       : (int)syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);
}

static void restrict_files(sf_restriction *restriction, const char *const *readable,
                           const char *writable)
{
    unsigned long long rights;
    size_t i;

    restriction->files = make_ruleset(&rights);
    if (restriction->files == CLOSED) {
        return;
    }
    for (i = 0; i < SYSTEM_PATHS; i++) {
        permit(restriction->files, system_paths[i].path, system_paths[i].rights);
    }
    for (i = 0; readable[i]; i++) {
        permit(restriction->files, readable[i], RUN_FILE);
    }
    if (writable) {
        permit(restriction->files, writable, rights);
    }
}


/* System calls -------------------------------------------------------------------------------- */

/* Reads the filter from its file in memory. Returns whether that succeeded. */
static int read_filter(apr_pool_t *pool, int file, sf_restriction *restriction)
{
    struct stat found;

    if (fstat(file, &found) != 0) {
        return 0;
    }
    restriction->filter = apr_palloc(pool, (apr_size_t)found.st_size);
    restriction->count = (unsigned short)((apr_size_t)found.st_size / sizeof(struct sock_filter));
    return pread(file, restriction->filter, (size_t)found.st_size, 0) == found.st_size;
}

const char *sf_restriction_make(apr_pool_t *pool, const char *const *readable, const char *writable,
                                sf_restriction *restriction)
{
    int file;
    const char *message = sf_seccomp_make(SF_SECCOMP_PROGRAM, &file);

    if (message) {
        return message;
    }
    message = read_filter(pool, file, restriction) ? NULL : strerror(errno);
    close(file);
    if (!message) {
        restrict_files(restriction, readable, writable);
    }
    return message;
}

int sf_restriction_enter(const sf_restriction *restriction)
{
    const struct sock_fprog program = { restriction->count, restriction->filter };

    if (restriction->files != CLOSED) {
        permit(restriction->files, "/proc/self", READ);
    }
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
           && (restriction->files == CLOSED
               || syscall(SYS_landlock_restrict_self, restriction->files, 0) == 0)
           && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

void sf_restriction_release(sf_restriction *restriction)
{
    if (restriction->files != CLOSED) {
        close(restriction->files);
        restriction->files = CLOSED;
    }
}
