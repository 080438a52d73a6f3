/* What a process in the sandbox is kept from: files by Landlock, system calls by seccomp. Neither needs rights, a namespace or a
 * program, so that both also work in a container and in a hardened unit of systemd. */
#ifndef SF_RESTRICTION_H
#define SF_RESTRICTION_H

#include <apr_pools.h>

/* A restriction, for one start of a process. */
typedef struct {
    int files;            /* a ruleset of Landlock; -1: the kernel has no Landlock */
    void *filter;         /* BPF */
    unsigned short count; /* of its instructions */
} sf_restriction;

/* Makes a restriction. The process can read and run the system's programs and libraries and the files `readable`, a list that ends
 * with NULL; read what /proc says about itself; and write to nothing but /dev/null and the folder `writable`, unless that is
 * NULL. It can make no sockets and no namespaces, signal nothing, and not leave its process group. Returns NULL, or a message. */
const char *sf_restriction_make(apr_pool_t *pool, const char *const *readable, const char *writable,
                                sf_restriction *restriction);

/* Restricts the calling process, in which only functions are called that are safe after fork(). Returns whether that succeeded. */
int sf_restriction_enter(const sf_restriction *restriction);

/* Closes the descriptor of a restriction. */
void sf_restriction_release(sf_restriction *restriction);

#endif
