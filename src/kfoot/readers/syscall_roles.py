"""Which arguments of a system call name what it acts on.

Facts of the calls' prototypes (include/linux/syscalls.h, the man pages of section 2).
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


FD_FIRST = _names(
    """
    accept accept4 bind cachestat close connect dup dup2 dup3 epoll_pwait epoll_pwait2 epoll_wait
    fadvise64 fadvise64_64 fallocate fchdir fchmod fchown fchown32 fcntl fcntl64 fdatasync
    fgetxattr finit_module flistxattr flock fremovexattr fsconfig fsetxattr fsmount fstat fstat64
    fstatfs fstatfs64 fsync ftruncate ftruncate64 getdents getdents64 getpeername
    getsockname getsockopt inotify_add_watch inotify_rm_watch io_uring_enter io_uring_register
    ioctl landlock_add_rule landlock_restrict_self listen llseek _llseek lseek mq_getsetattr
    mq_notify mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 oldfstat
    pidfd_getfd pidfd_send_signal pread pread64 preadv preadv2 process_madvise process_mrelease
    pwrite pwrite64 pwritev pwritev2 quotactl_fd read readahead readv recv recvfrom recvmmsg
    recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setns setsockopt shutdown signalfd
    signalfd4 sync_file_range syncfs timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64 vmsplice write writev
    """
)
"""The first argument is the descriptor acted on."""

DIR_PATH = _names(
    """
    faccessat faccessat2 fchmodat fchmodat2 fchownat fstatat64 fspick futimesat
    getxattrat listxattrat mkdirat mknodat mount_setattr name_to_handle_at newfstatat
    open_tree_attr readlinkat removexattrat setxattrat statx unlinkat utimensat utimensat_time64
    """
)
"""A directory's descriptor and a path."""

TWO_DIR_PATHS = _names("linkat renameat renameat2 move_mount")
"""Directory, path, directory, path."""

PATH = _names(
    """
    access acct chdir chmod chown chown32 chroot getxattr lchown lchown32 lgetxattr listxattr
    llistxattr lremovexattr lsetxattr lstat lstat64 mkdir mknod mq_unlink oldlstat oldstat
    readlink removexattr rmdir setxattr stat stat64 statfs statfs64 swapoff swapon truncate
    truncate64 umount umount2 unlink uselib utime utimes
    """
)
"""The first argument is a path."""

TWO_PATHS = _names("link mount pivot_root rename")
"""The first two arguments are paths."""

OPENS = _names("open openat openat2 creat open_tree open_by_handle_at mq_open")
"""Return a descriptor of the path given."""

DIRECTORY_CALLS = _names("getdents getdents64 fchdir chdir chroot mkdir mkdirat rmdir")
"""Succeed only on directories."""

ANONYMOUS = {
    "bpf": "bpf",
    "epoll_create": "[eventpoll]",
    "epoll_create1": "[eventpoll]",
    "eventfd": "[eventfd]",
    "eventfd2": "[eventfd]",
    "fanotify_init": "[fanotify]",
    "fsopen": "[fscontext]",
    "fspick": "[fscontext]",
    "inotify_init": "inotify",
    "inotify_init1": "inotify",
    "io_uring_setup": "[io_uring]",
    "landlock_create_ruleset": "[landlock-ruleset]",
    "memfd_secret": "secretmem",
    "perf_event_open": "[perf_event]",
    "pidfd_open": "[pidfd]",
    "signalfd": "[signalfd]",
    "signalfd4": "[signalfd]",
    "timerfd_create": "[timerfd]",
    "userfaultfd": "[userfaultfd]",
}
"""Calls that return a descriptor of an anonymous inode, with the name the kernel gives it
(the callers of anon_inode_getfd and anon_inode_getfile)."""

FORKS = _names("clone clone2 clone3 fork vfork")
EXECS = _names("execve execveat")

ONLY_32_BIT = _names(
    """
    _llseek _newselect chown32 clock_adjtime64 clock_getres_time64 clock_gettime64
    clock_nanosleep_time64 clock_settime64 fadvise64_64 fchown32 fcntl64 fstat64 fstatat64
    fstatfs64 ftruncate64 futex_time64 getegid32 geteuid32 getgid32 getgroups32 getresgid32
    getresuid32 getuid32 io_pgetevents_time64 lchown32 lstat64 mmap2 mq_timedreceive_time64
    mq_timedsend_time64 old_mmap old_select oldfstat oldlstat oldstat ppoll_time64 pselect6_time64
    recvmmsg_time64 rt_sigtimedwait_time64 sched_rr_get_interval_time64 semtimedop_time64
    sendfile64 setfsgid32 setfsuid32 setgid32 setgroups32 setregid32 setresgid32 setresuid32
    setreuid32 setuid32 sigaction sigprocmask sigreturn sigsuspend socketcall stat64 statfs64
    timer_gettime64 timer_settime64 timerfd_gettime64 timerfd_settime64 truncate64 ugetrlimit
    utimensat_time64 waitpid
    """
)
"""Names that no 64-bit ABI of x86 or arm64 has, but i386 and arm have: a task of a 64-bit machine
that makes such a call is a 32-bit one (arch/x86/entry/syscalls/syscall_32.tbl,
arch/arm/tools/syscall.tbl)."""
