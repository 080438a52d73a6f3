/* Filters of the system calls that an untrusted program may make. */
#ifndef SF_SECCOMP_H
#define SF_SECCOMP_H

typedef enum {
    SF_SECCOMP_CAGE, /* for isolates, which may use the network and signal each other in their namespaces */
    SF_SECCOMP_PROGRAM /* for a program that needs neither, see restriction.h */
} sf_seccomp_kind;

/* Makes the filter and writes it, as BPF, to a file in memory. Returns NULL with the file's descriptor (close-on-exec) in
 * `filter`; or a message of libseccomp's or the system's, with nothing left open. */
const char *sf_seccomp_make(sf_seccomp_kind kind, int *filter);

/* Opens the filter once more: bubblewrap reads its descriptor from the position that it has to the end, so that each isolate
 * needs one of its own. Returns the descriptor (close-on-exec), or -1 with errno set. */
int sf_seccomp_open(int filter);

#endif
