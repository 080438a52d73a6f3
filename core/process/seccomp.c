#include "core/process/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Calls that a Function has no use for, and through which processes have left a sandbox, seen other processes, or changed the
 * machine. They fail with EPERM. */
static const char *const denied[] = {
    /* mounts and roots */
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "chroot",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "open_by_handle_at",
    "name_to_handle_at",
    /* namespaces; clone() is below */
    "unshare",
    "setns",
    /* the memory and descriptors of other processes */
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "process_mrelease",
    "kcmp",
    "pidfd_getfd",
    "move_pages",
    "migrate_pages",
    /* parts of the kernel with a history of faults */
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "keyctl",
    "add_key",
    "request_key",
    "vmsplice",
    "fanotify_init",
    "memfd_secret",
    "modify_ldt",
    "personality",
    "lookup_dcookie",
    "nfsservctl",
    "uselib",
    "ustat",
    "sysfs",
    "_sysctl",
    "set_mempolicy",
    "mbind",
    "set_mempolicy_home_node",
    /* the kernel and the machine */
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "query_module",
    "get_kernel_syms",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "swapon",
    "swapoff",
    "acct",
    "quotactl",
    "quotactl_fd",
    "syslog",
    "settimeofday",
    "stime",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "sethostname",
    "setdomainname",
    "iopl",
    "ioperm",
    "vhangup",
    "vm86",
    "vm86old",
};

/* Calls that a program without network and processes of its own has no use for either. They fail with EPERM. */
static const char *const denied_to_programs[] = {
    "socket",
    "socketpair",
    "kill",
    "tkill",
    "tgkill",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "pidfd_open",
    "pidfd_send_signal",
    "setpgid",
    "setsid",
};

/* Calls that fail with ENOSYS, as on an older kernel, so that glibc and libuv use older calls in their place. The flags of
 * clone3() are in memory, where a filter cannot read them. */
static const char *const absent[]
    = { "clone3", "io_uring_setup", "io_uring_enter", "io_uring_register" };

/* The flags of clone() that make namespaces. CLONE_NEWTIME is none of its flags. */
static const unsigned int namespaces[]
    = { CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
        CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET };

/* The families of sockets that a Function may make. AF_NETLINK lists the addresses of the machine, with one protocol. AF_VSOCK,
 * for one, does not belong to any network namespace. */
static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

/* Writing into the input of a terminal. The kernel reads 32 bits of the argument. */
static const unsigned int terminal_requests[] = { TIOCSTI, TIOCLINUX };

/* The calls after futex_waitv, up to a number that Linux will not reach soon, are newer than the tables here. Their numbers
 * are the same on every architecture. */
enum { FIRST_NEW_CALL = 450, LAST_NEW_CALL = 700, CACHESTAT = 451, FCHMODAT2 = 452 };

static int add_names(scmp_filter_ctx filter, const char *const *names, size_t count, int error)
{
    int rv = 0;
    size_t i;

    for (i = 0; i < count && rv == 0; i++) {
        const int call = seccomp_syscall_resolve_name(names[i]);

        if (call != __NR_SCMP_ERROR) {
            rv = seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), call, 0);
        }
    }
    return rv;
}

static int add_new_calls(scmp_filter_ctx filter)
{
    int rv = 0;
    int call;

    for (call = FIRST_NEW_CALL; call <= LAST_NEW_CALL && rv == 0; call++) {
        if (call != CACHESTAT && call != FCHMODAT2) {
            rv = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), call, 0);
        }
    }
    return rv;
}

static int add_namespaces(scmp_filter_ctx filter)
{
    int rv = 0;
    size_t i;

    for (i = 0; i < COUNT(namespaces) && rv == 0; i++) {
        rv = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces[i], namespaces[i]));
    }
    return rv;
}

static int add_terminal_requests(scmp_filter_ctx filter)
{
    int rv = 0;
    size_t i;

    for (i = 0; i < COUNT(terminal_requests) && rv == 0; i++) {
        rv = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                              SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, terminal_requests[i]));
    }
    return rv;
}

static int is_permitted(int family)
{
    size_t i;

    for (i = 0; i < COUNT(families); i++) {
        if (families[i] == family) {
            return 1;
        }
    }
    return 0;
}

/* The kernel reads 32 bits of the family. The rules compare these, one family after the other, and then all above. */
static int add_families(scmp_filter_ctx filter)
{
    const uint32_t error = SCMP_ACT_ERRNO(EAFNOSUPPORT);
    int rv = seccomp_rule_add(filter, error, SCMP_SYS(socket), 2,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, AF_NETLINK),
                              SCMP_A2(SCMP_CMP_NE, 0));
    int family;

    for (family = 0; family < AF_MAX && rv == 0; family++) {
        if (!is_permitted(family)) {
            rv = seccomp_rule_add(filter, error, SCMP_SYS(socket), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, family));
        }
    }
    return rv;
}

static int add_rules(scmp_filter_ctx filter, sf_seccomp_kind kind)
{
    int rv = add_names(filter, denied, COUNT(denied), EPERM);

    if (rv == 0 && kind == SF_SECCOMP_PROGRAM) {
        rv = add_names(filter, denied_to_programs, COUNT(denied_to_programs), EPERM);
    }
    if (rv == 0) {
        rv = add_names(filter, absent, COUNT(absent), ENOSYS);
    }
    if (rv == 0) {
        rv = add_new_calls(filter);
    }
    if (rv == 0) {
        rv = add_namespaces(filter);
    }
    if (rv == 0) {
        rv = add_terminal_requests(filter);
    }
    return rv == 0 && kind == SF_SECCOMP_CAGE ? add_families(filter) : rv;
}

/* Writes the filter to a new file in memory. Returns 0 or an error as -errno. */
static int export_bpf(scmp_filter_ctx filter, int *descriptor)
{
    int rv;

    *descriptor = memfd_create("serverless-seccomp", MFD_CLOEXEC);
    if (*descriptor < 0) {
        return -errno;
    }
    rv = seccomp_export_bpf(filter, *descriptor);
    if (rv != 0) {
        close(*descriptor);
    }
    return rv;
}

const char *sf_seccomp_make(sf_seccomp_kind kind, int *descriptor)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int rv;

    if (!filter) {
        return "libseccomp cannot make a filter";
    }
    rv = add_rules(filter, kind);
    if (rv == 0) {
        rv = export_bpf(filter, descriptor);
    }
    seccomp_release(filter);
    return rv == 0 ? NULL : strerror(-rv);
}

int sf_seccomp_open(int filter)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", filter);
    return open(path, O_RDONLY | O_CLOEXEC);
}
