"""What one step of a command is: its kind, whether it is quiet, whether its error was expected.

A flowchart shows what a command *did*: opened, talked to, closed, started. Calls that only manage
memory, threads, signals, time or open descriptors are *quiet*: counted beside the chart. Errors
that are part of normal operation (a name looked for along a search path, a descriptor that would
block) are folded away and counted too. Any call not listed here is drawn: unknown is never hidden.
"""

from __future__ import annotations

_KINDS = {
    "open": "open openat openat2 creat epoll_create epoll_create1 eventfd eventfd2 timerfd_create"
    " signalfd signalfd4 pipe pipe2 memfd_create inotify_init inotify_init1 socket socketpair"
    " perf_event_open bpf userfaultfd pidfd_open io_uring_setup fsopen open_tree",
    "close": "close close_range",
    "look": "stat stat64 lstat lstat64 fstatat64 newfstatat statx access faccessat"
    " faccessat2 readlink readlinkat statfs statfs64 fstatfs fstatfs64 getdents getdents64 getcwd"
    " getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr oldstat",
    "read": "read pread64 readv preadv preadv2 sendfile sendfile64 splice copy_file_range",
    "write": "write pwrite64 writev pwritev pwritev2 fsync fdatasync sync syncfs ftruncate truncate"
    " ftruncate64 fallocate",
    "ioctl": "ioctl",
    "lock": "flock",
    "net": "bind listen accept accept4 connect shutdown send sendto sendmsg sendmmsg recv recvfrom"
    " recvmsg recvmmsg",
    "change": "unlink unlinkat rename renameat renameat2 mkdir mkdirat rmdir symlink symlinkat link"
    " linkat chmod fchmod fchmodat chown lchown fchown fchownat utimensat mknod mknodat mount"
    " umount2 setxattr chdir fchdir chroot pivot_root init_module finit_module delete_module",
    "process": "fork vfork clone clone2 clone3 execve execveat wait4 waitid waitpid kill",
    "exit": "exit exit_group",
    "quiet": "mmap mmap2 munmap mremap mprotect madvise brk msync mlock munlock mincore"
    " pkey_alloc pkey_free pkey_mprotect membarrier process_madvise"
    " futex futex_waitv futex_time64 set_robust_list get_robust_list set_tid_address rseq"
    " rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack sigaction sigprocmask sigreturn"
    " rt_sigtimedwait rt_sigsuspend rt_sigpending pause tgkill tkill alarm"
    " nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times setitimer"
    " getitimer timer_create timer_settime timer_delete timerfd_settime timerfd_gettime"
    " clock_gettime64 clock_nanosleep_time64 getpid getppid gettid getuid geteuid getgid getegid"
    " getuid32 geteuid32 getgid32 getegid32 getresuid getresgid getpgrp getpgid getsid getgroups"
    " getrusage getrlimit prlimit64 setrlimit ugetrlimit uname sysinfo umask getcpu getrandom"
    " arch_prctl prctl set_thread_area get_thread_area sched_yield sched_getaffinity"
    " sched_setaffinity sched_getparam sched_getscheduler sched_get_priority_max"
    " sched_get_priority_min capget restart_syscall"
    " poll ppoll select pselect6 _newselect epoll_wait epoll_pwait epoll_pwait2 epoll_ctl"
    " fstat fstat64 oldfstat"
    " io_uring_enter lseek _llseek fcntl fcntl64 fadvise64 readahead dup dup2 dup3 setsockopt"
    " getsockopt getsockname getpeername cacheflush set_tls",
}
KIND = {name: kind for kind, names in _KINDS.items() for name in names.split()}

_WOULD_BLOCK = frozenset({"EAGAIN", "EWOULDBLOCK", "EINTR", "EINPROGRESS", "ETIMEDOUT"})
_ASKS_FOR_TERMINAL = frozenset(
    {"TCGETS", "TCGETS2", "TIOCGWINSZ", "TIOCGPGRP"}
    | {0x5401, 0x802C542A, 0x5413, 0x540F}  # the same in asm-generic/ioctls.h
)
_ABSENT = frozenset({"ENOENT", "ENOTDIR"})
_LOADER = (
    "/etc/ld.so.", "/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/", "/usr/local/lib/",
    "/usr/libexec/", "/usr/share/locale", "/usr/share/zoneinfo", "/usr/share/nodejs",
    "/etc/locale", "/etc/ssl/", "/usr/lib/ssl", "/etc/localtime", "/proc/self/", "/proc/PID/",
    "/proc/sys/", "/proc/meminfo", "/proc/cpuinfo", "/proc/version", "/proc/stat",
    "/proc/filesystems", "/proc/mounts", "/sys/kernel/mm/", "/sys/devices/system/", "/sys/fs/",
    "/dev/urandom", "/dev/null", "/etc/nsswitch", "/etc/passwd", "/etc/suid-debug",
)  # fmt: skip
"""Files a dynamic loader or a language runtime reads before a program's own code runs."""


def kind_of(call: str) -> str:
    """open, close, look, read, write, ioctl, lock, net, change, process, exit, quiet or other."""
    return KIND.get(call, "other")


def normal_error(call: str, errno: str, request: tuple[str | int | None, ...] = ()) -> bool:
    """Whether the error says only "nothing yet" or "no terminal" (isatty(3) asks with TCGETS).
    ``request`` is what is known of an ioctl's: name, number."""
    kind = kind_of(call)
    if errno == "never" or errno.startswith("ERESTART"):
        return True
    if call in ("rt_sigreturn", "sigreturn"):
        return True  # its "result" is the interrupted code's register, see sigreturn(2)
    if call in ("fcntl", "fcntl64") and errno == "EBADF":
        return True  # how a runtime asks at start-up which descriptors it was given
    if errno in _WOULD_BLOCK:
        return kind in ("quiet", "read", "write", "net", "process")
    if call == "epoll_ctl":
        return errno in ("EPERM", "EEXIST", "ENOENT")
    if call in ("lseek", "_llseek"):
        return errno == "ESPIPE"  # how a runtime asks whether a descriptor can be positioned
    if call.startswith("pkey_"):
        return True
    if call in ("readlink", "readlinkat"):
        return errno == "EINVAL"  # "not a symbolic link", how realpath(3) walks a path
    if call == "ioctl":
        return errno == "ENOTTY" and any(word in _ASKS_FOR_TERMINAL for word in request)
    return call in ("wait4", "waitid", "waitpid") and errno == "ECHILD"


def absent(call: str, errno: str) -> bool:
    """Whether a name was looked for and was not there."""
    return errno in _ABSENT and kind_of(call) in ("open", "look", "process", "quiet")


def loader_file(path: str) -> bool:
    """Whether ``path`` is one that loaders and runtimes read at start-up, of any program."""
    return path.startswith(_LOADER) or ".so." in path or path.endswith((".so", ".pyc"))


def meaning(call: str, errno: str) -> str:
    """What an errno of this call says to a person, in few words; "" when errno is unknown."""
    if call in ("flock", "fcntl") and errno in ("EAGAIN", "EWOULDBLOCK", "EACCES"):
        return "locked by another process: device busy"
    if errno == "EBUSY":
        return "device busy"
    import errno as numbers
    import os

    number = getattr(numbers, errno, None)
    return os.strerror(number).lower() if isinstance(number, int) else ""
