/* The cgroups of isolates, where systemd has delegated the runner's own to it (Delegate=memory pids cpu, cgroup version 2). They
 * are the only limit on the memory of all processes of an isolate together, shared memory and files in /tmp included. */
#ifndef SF_CGROUP_H
#define SF_CGROUP_H

#include <apr_pools.h>

typedef struct sf_cgroups sf_cgroups;

/* Moves the runner into a cgroup `runner` below its own, so that the controllers can be enabled for others beside it. Returns
 * NULL with `cgroups`, or why there can be none. */
const char *sf_cgroups_make(apr_pool_t *pool, sf_cgroups **cgroups);

/* Makes the cgroup of an isolate: `memory` bytes and the bytes of /tmp, no swap, 64 processes; if one process is killed for its
 * memory, all are. Returns NULL with the path of the file that a process writes its number to, or a message. */
const char *sf_cgroups_add(apr_pool_t *pool, sf_cgroups *cgroups, unsigned int isolate,
                           apr_size_t memory, const char **processes);

/* Kills the processes that are left in the isolate's cgroup, and removes it, now or in a later call. Returns whether the kernel
 * had killed any for its memory. */
int sf_cgroups_remove(sf_cgroups *cgroups, unsigned int isolate);

#endif
