/* The cage: the command line that runs a program with nothing of the machine but what a Function needs, at the levels of
 * isolation and egress of the configuration. At the level `bubblewrap` that is a command line of bubblewrap's, with these
 * files:
 *
 *     /usr, and links to it      of the machine, read-only
 *     /etc                       generated, with the machine's certificates of authorities
 *     /var/runtime               the folder of main.js, read-only
 *     /var/task                  the Build, read-only, with its bundle as node_modules
 *     /opt/bin/node              the Runtime's program, read-only
 *     /opt/packages              the folder of the package twilio, read-only
 *     /var/install, /var/work    only where Dependencies are resolved: install.js, and the folder that it writes to
 *     /var/npm-cache             only there: the cache that packages come from, read-only
 *     /tmp                       empty, bounded; the only place to write to
 *     /proc                      of the cage's processes
 *     /dev                       null, zero, full, random, urandom
 */
#ifndef SF_CAGE_H
#define SF_CAGE_H

#include "runtime/runner/config.h"
#include "runtime/runner/egress.h"

#include <apr_pools.h>

/* Bytes of /tmp, and of each file in it. */
#define SF_CAGE_TEMPORARY 67108864

/* Bytes above an isolate's memory that its data may take (RLIMIT_DATA): the parts of node that are not heap. The second number is
 * for a node that reserves half a gigabyte for code, as node 24 does, for its main thread and for a worker: the kernel counts that
 * as data. */
#define SF_CAGE_DATA_MARGIN ((apr_size_t)256 * 1024 * 1024)
#define SF_CAGE_DATA_MARGIN_MAX ((apr_size_t)1280 * 1024 * 1024)

/* The descriptors that a program in the cage is started with: the line, then the one of sf_cage_filter(). */
#define SF_CAGE_FILTER_DESCRIPTOR 4

typedef struct sf_cage sf_cage;

/* An isolate, or another program that is run as one. */
typedef struct {
    const char *node;          /* path of the program */
    const char *build;         /* path of the Build's folder */
    const char *bundle;        /* path of the folder of packages; NULL if there is none */
    apr_size_t memory;         /* bytes */
    const sf_network *network; /* of the Environment; NULL unless egress is filtered */
    const char
        *group; /* path of the cgroup's file of processes, see cgroup.h; NULL if there is none */
    const char *work; /* path of the folder that install.js writes to; NULL for an isolate */
} sf_cage_isolate;

/* Makes the cage: finds the programs, writes the files of /etc into the folder of the configuration's cache, makes the filter
 * of system calls. Returns NULL with `cage`, or a message. */
const char *sf_cage_make(apr_pool_t *pool, const sf_runner_config *config, sf_cage **cage);

/* Returns the bytes of data that each process of the isolate may have. */
apr_size_t sf_cage_data(const sf_cage *cage, const sf_cage_isolate *isolate);

/* Sets the bytes above an isolate's memory that a node needs, which live as long as the cage. */
void sf_cage_set_margin(const sf_cage *cage, const char *node, const apr_size_t *margin);

/* Returns the path, in the cage, of the program that sets limits, and of the isolate's node. */
const char *sf_cage_limiter(const sf_cage *cage);
const char *sf_cage_node(const sf_cage *cage, const sf_cage_isolate *isolate);

/* Returns a folder without files, in place of a Build's. */
const char *sf_cage_empty_folder(const sf_cage *cage);

/* Returns the networks, or NULL unless egress is filtered. */
sf_networks *sf_cage_networks(const sf_cage *cage);

/* Returns the arguments that run the isolate, which end with NULL. */
const char *const *sf_cage_isolate_arguments(apr_pool_t *pool, const sf_cage *cage,
                                             const sf_cage_isolate *isolate);

/* Returns the arguments that run another program in the isolate's cage. */
const char *const *sf_cage_program_arguments(apr_pool_t *pool, const sf_cage *cage,
                                             const sf_cage_isolate *isolate,
                                             const char *const *program);

/* The command that resolves Dependencies: install.js, run by a Runtime's node in a folder that it may write to, with the
 * network of Functions where egress is filtered, else with the machine's. */
typedef struct {
    const char *node;
    const char *folder;
    const sf_network *network;
    const char *const *arguments;   /* set by sf_cage_install() */
    const char *const *environment; /* as well */
    const char *npm_config;         /* as well: the path as the command has it, or NULL */
    const char *npm_cache;          /* as well */
} sf_cage_command;

/* Makes the command. */
void sf_cage_install(apr_pool_t *pool, const sf_cage *cage, sf_cage_command *command);

/* Returns the environment of an isolate, which ends with NULL: NODE_PATH, if the package twilio is installed. */
const char *const *sf_cage_environment(apr_pool_t *pool, const sf_cage *cage);

/* Returns the signal that has ended the program, or 0, from the status as waitpid() writes it. bubblewrap exits with 128 and the
 * number of the signal. */
int sf_cage_signal(const sf_cage *cage, int status);

/* Opens the filter of system calls, for one start. Returns a descriptor that the caller closes, or -1: at the level `none`, and
 * where it cannot be opened. */
int sf_cage_filter(const sf_cage *cage);

#endif
