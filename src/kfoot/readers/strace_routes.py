"""Which of a strace's calls are more than counted."""

from __future__ import annotations

from collections.abc import Iterable

from kfoot.readers.syscall_roles import EXECS, FD_FIRST, FORKS

PLAIN, ACTS, TREE = 1, 2, 3
"""It is on its first argument's descriptor alone; it acts on objects or descriptors in a way of its
own; it changes the tree of tasks."""
_TELLS = {
    "close",
    "ioctl",
    "dup",
    "dup2",
    "dup3",
    "fcntl",
    "fcntl64",
    "accept",
    "accept4",
    "bind",
    "connect",
    "sendmsg",
    "sendmmsg",
    "recvmsg",
    "recvmmsg",
    "recvmmsg_time64",
    "fstat",
    "fstat64",
    "oldfstat",
    "pidfd_getfd",
    "fsmount",
    "signalfd",
    "signalfd4",
    "getdents",
    "getdents64",
    "fchdir",
}
"""Calls on a descriptor that change or tell more than the descriptor."""


def routes(acting: Iterable[str]) -> dict[str, int]:
    """The route of each call that has one; ``acting`` are the names that ``Descriptors`` takes."""
    found = dict.fromkeys(acting, ACTS)
    found |= dict.fromkeys(FD_FIRST - _TELLS, PLAIN)
    return found | dict.fromkeys(FORKS | EXECS | {"unshare"}, TREE)
