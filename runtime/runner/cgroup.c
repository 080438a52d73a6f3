#include "runtime/runner/cgroup.h"
#include "runtime/runner/cage.h"

#include <apr_strings.h>
#include <apr_tables.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MOUNT "/sys/fs/cgroup"
#define PROCESSES "64"
#define RUNNER "runner"
#define PATH_SIZE 512
#define VALUE_SIZE 4096

struct sf_cgroups {
    const char *root; /* path of the runner's cgroup as systemd has made it */
    apr_array_header_t
        *left; /* of unsigned int: isolates with a cgroup that could not be removed yet */
};


/* Files --------------------------------------------------------------------------------------- */

/* Reads a small file into `value`, or nothing. */
static void read_file(const char *path, char value[VALUE_SIZE])
{
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t length = file < 0 ? -1 : read(file, value, VALUE_SIZE - 1);

    value[length > 0 ? length : 0] = '\0';
    if (file >= 0) {
        close(file);
    }
}

/* Writes a value in one call, as the kernel wants it. Returns whether that succeeded. */
static int write_file(const char *folder, const char *name, const char *value)
{
    char path[PATH_SIZE];
    int file;
    int written;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0) {
        return 0;
    }
    written = write(file, value, strlen(value)) == (ssize_t)strlen(value);
    close(file);
    return written;
}

static void isolate_folder(const sf_cgroups *cgroups, unsigned int isolate, char path[PATH_SIZE])
{
    (void)snprintf(path, PATH_SIZE, "%s/isolate-%d-%u", cgroups->root, (int)getpid(), isolate);
}


/* The runner's own cgroup --------------------------------------------------------------------- */

/* Returns the folder of the cgroup of version 2 that systemd has made, or NULL. A runner that takes over from another one is in
 * the one below already. */
static const char *own_folder(apr_pool_t *pool)
{
    char value[VALUE_SIZE];
    char *line;
    char *end;

    read_file("/proc/self/cgroup", value);
    line = strncmp(value, "0::", 3) == 0 ? value : strstr(value, "\n0::");
    if (!line) {
        return NULL;
    }
    line = strchr(line, '/');
    if (!line) {
        return NULL;
    }
    line[strcspn(line, "\n")] = '\0';
    end = strrchr(line, '/');
    if (strcmp(end, "/" RUNNER) == 0) {
        *end = '\0';
    }
    return apr_pstrcat(pool, MOUNT, line, NULL);
}

/* Returns whether the controller is in a list as the kernel writes it: "cpu memory pids\n". */
static int has_controller(const char *list, const char *controller)
{
    const size_t length = strlen(controller);
    const char *found = list;

    while ((found = strstr(found, controller)) != NULL) {
        if ((found == list || found[-1] == ' ') && strchr(" \n", found[length])) {
            return 1;
        }
        found += length;
    }
    return 0;
}

/* Returns whether systemd has delegated the cgroup. It gives the files to the user of the service; root may write to them
 * anyway, and is told by an attribute. */
static int is_delegated(apr_pool_t *pool, const char *folder)
{
    char value[2] = "";

    if (geteuid() != 0) {
        return access(apr_pstrcat(pool, folder, "/cgroup.subtree_control", NULL), W_OK) == 0;
    }
    return getxattr(folder, "trusted.delegate", value, 1) == 1 && value[0] == '1';
}

/* Moves the runner, and enables the controllers for the cgroups beside its new one. */
static const char *enable_controllers(apr_pool_t *pool, const char *folder)
{
    const char *runner = apr_pstrcat(pool, folder, "/" RUNNER, NULL);

    if (mkdir(runner, 0755) != 0 && errno != EEXIST) {
        return apr_psprintf(pool, "%s: %s", runner, strerror(errno));
    }
    if (!write_file(runner, "cgroup.procs", "0")) {
        return apr_psprintf(pool, "%s/cgroup.procs: %s", runner, strerror(errno));
    }
    if (!write_file(folder, "cgroup.subtree_control", "+memory +pids")) {
        return apr_psprintf(pool, "%s/cgroup.subtree_control: %s", folder, strerror(errno));
    }
    (void)write_file(folder, "cgroup.subtree_control", "+cpu"); /* shares the processors fairly */
    return NULL;
}

const char *sf_cgroups_make(apr_pool_t *pool, sf_cgroups **cgroups)
{
    const char *folder = own_folder(pool);
    char controllers[VALUE_SIZE];
    const char *message;

    if (!folder) {
        return "the system has no cgroups of version 2";
    }
    read_file(apr_pstrcat(pool, folder, "/cgroup.controllers", NULL), controllers);
    if (!has_controller(controllers, "memory") || !has_controller(controllers, "pids")) {
        return apr_psprintf(pool, "%s has not both of the controllers memory and pids", folder);
    }
    if (!is_delegated(pool, folder)) {
        return apr_psprintf(pool, "%s is not delegated; the service needs Delegate=memory pids cpu",
                            folder);
    }
    message = enable_controllers(pool, folder);
    if (message) {
        return message;
    }
    *cgroups = apr_pcalloc(pool, sizeof(**cgroups));
    (*cgroups)->root = folder;
    (*cgroups)->left = apr_array_make(pool, 8, sizeof(unsigned int));
    return NULL;
}


/* The cgroups of isolates --------------------------------------------------------------------- */

/* Removes cgroups that had processes when they were to be removed first. */
static void remove_left(sf_cgroups *cgroups)
{
    int kept = 0;
    int i;

    for (i = 0; i < cgroups->left->nelts; i++) {
        const unsigned int isolate = APR_ARRAY_IDX(cgroups->left, i, unsigned int);
        char folder[PATH_SIZE];

        isolate_folder(cgroups, isolate, folder);
        if (rmdir(folder) != 0 && errno == EBUSY) {
            APR_ARRAY_IDX(cgroups->left, kept++, unsigned int) = isolate;
        }
    }
    cgroups->left->nelts = kept;
}

const char *sf_cgroups_add(apr_pool_t *pool, sf_cgroups *cgroups, unsigned int isolate,
                           apr_size_t memory, const char **processes)
{
    const char *bytes = apr_psprintf(pool, "%" APR_SIZE_T_FMT, memory + SF_CAGE_TEMPORARY);
    char folder[PATH_SIZE];

    remove_left(cgroups);
    isolate_folder(cgroups, isolate, folder);
    if (mkdir(folder, 0755) != 0) {
        return apr_psprintf(pool, "%s: %s", folder, strerror(errno));
    }
    if (!write_file(folder, "memory.max", bytes) || !write_file(folder, "memory.oom.group", "1")
        || !write_file(folder, "pids.max", PROCESSES)) {
        const char *message = apr_psprintf(pool, "%s: %s", folder, strerror(errno));

        rmdir(folder);
        return message;
    }
    (void)write_file(folder, "memory.swap.max", "0"); /* not there on a system without swap */
    *processes = apr_pstrcat(pool, folder, "/cgroup.procs", NULL);
    return NULL;
}

/* Returns whether the file memory.events counts processes that were killed. */
static int was_killed_for_memory(const char *folder)
{
    char path[PATH_SIZE + sizeof("/memory.events")];
    char events[VALUE_SIZE];
    const char *count;

    (void)snprintf(path, sizeof(path), "%s/memory.events", folder);
    read_file(path, events);
    count = strstr(events, "oom_kill ");
    return count && count[strlen("oom_kill ")] != '0';
}

int sf_cgroups_remove(sf_cgroups *cgroups, unsigned int isolate)
{
    char folder[PATH_SIZE];
    int killed;

    isolate_folder(cgroups, isolate, folder);
    killed = was_killed_for_memory(folder);
    (void)write_file(folder, "cgroup.kill", "1");
    APR_ARRAY_PUSH(cgroups->left, unsigned int) = isolate;
    remove_left(cgroups);
    return killed;
}
