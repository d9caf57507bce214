"""Follows descriptors through the calls that make, copy, pass and close them.

One ``FileTable`` is what tasks that share descriptors (CLONE_FILES) have in common. Each call is
given to ``Descriptors.act``, which says what it acted on and keeps the table up to date. A
decoration (-y, -yy) is believed before what was followed.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

from kfoot.readers.descriptor_makers import FDS, Making, closes_on_exec
from kfoot.readers.descriptor_uses import NOTHING, Acted, Ended, FileTable
from kfoot.readers.reading import Object, Request
from kfoot.readers.strace_args import descriptor, number, request
from kfoot.readers.strace_objects import Objects
from kfoot.readers.syscall_roles import (
    ANONYMOUS,
    DIR_PATH,
    FD_FIRST,
    OPENS,
    PATH,
    TWO_DIR_PATHS,
    TWO_PATHS,
)

__all__ = ["NOTHING", "Acted", "Descriptors", "Ended", "FileTable"]

_SCM = re.compile(
    r"cmsg_type=(?:SCM_RIGHTS|0x1(?: /\* SCM_RIGHTS \*/)?), cmsg_data=\[(.*?)\]", re.DOTALL
)

F_DUPFD, F_SETFD, F_DUPFD_CLOEXEC = 0, 2, 1030


class Descriptors(Making):
    """What calls act on; one for a whole trace, as descriptors may be passed between tasks."""

    def __init__(self, objects: Objects, arch: str | None = None):
        super().__init__(objects)
        self._arch = arch
        self._requests: dict[str, Request] = {}
        self._passed: deque[list[int | None]] = deque(maxlen=64)
        """Objects of SCM_RIGHTS messages sent and not yet received."""
        self._handlers: dict[str, Callable[[FileTable, Ended], Acted]] = {}
        for names, handler in (
            (FD_FIRST, self._fd),
            (DIR_PATH, self._dir_path),
            (TWO_DIR_PATHS, self._two_dir_paths),
            (PATH, self._path),
            (TWO_PATHS, self._two_paths),
            (OPENS, self._open),
            (ANONYMOUS, self._anonymous),
            (("symlink",), self._symlink),
            (("symlinkat",), self._symlinkat),
            (("execve", "execveat"), self._exec),
            (("close",), self._close),
            (("close_range",), self._close_range),
            (("ioctl",), self._ioctl),
            (("fcntl", "fcntl64"), self._fcntl),
            (("dup", "dup2", "dup3"), self._dup),
            (("pipe", "pipe2"), self._pipe),
            (("socket",), self._socket),
            (("socketpair",), self._socketpair),
            (("accept", "accept4"), self._accept),
            (("bind", "connect"), self._address),
            (("sendmsg", "sendmmsg"), self._send),
            (("recvmsg", "recvmmsg", "recvmmsg_time64"), self._receive),
            (("mmap", "mmap2"), self._mmap),
            (("epoll_ctl", "kexec_file_load"), self._epoll_ctl),
            (("sendfile", "sendfile64"), self._sendfile),
            (("splice", "copy_file_range", "tee"), self._splice),
            (("fanotify_mark",), self._fanotify_mark),
            (("memfd_create",), self._memfd),
            (("pidfd_getfd", "fsmount"), self._fd_returns),
            (("signalfd", "signalfd4"), self._signalfd),
            (("fstat", "fstat64", "oldfstat"), self._fstat),
        ):
            self._handlers.update(dict.fromkeys(names, handler))

    def names(self) -> frozenset[str]:
        """The calls ``act`` knows something of."""
        return frozenset(self._handlers)

    def pidfd(self) -> int:
        """The object of a descriptor made by CLONE_PIDFD."""
        return self.objects.add(Object("anon", "[pidfd]", how="followed"))

    def act(self, files: FileTable, call: Ended) -> Acted:
        """What an ended call acted on; the table is changed as the call changed it."""
        handler = self._handlers.get(call.name)
        return handler(files, call) if handler else NOTHING

    def _dup(self, files: FileTable, call: Ended) -> Acted:
        index, fd, after = self._at(files, call.args)
        if call.ok and not (call.name == "dup2" and fd == descriptor(call.result)):
            self._made(
                files, call, index, call.name == "dup3" and closes_on_exec(call.args[after:])
            )
        return Acted(index)

    def _fcntl(self, files: FileTable, call: Ended) -> Acted:
        index, fd, after = self._at(files, call.args)
        if call.ok:
            rest = call.args[after:]
            command, _, value = rest.partition(", ")
            code = number(command)
            if code == F_DUPFD_CLOEXEC or "F_DUPFD_CLOEXEC" in command:
                self._made(files, call, index, True)
            elif code == F_DUPFD or command.endswith("F_DUPFD"):
                self._made(files, call, index, False)
            elif (code == F_SETFD or "F_SETFD" in command) and index is not None:
                files.put(fd, index, "FD_CLOEXEC" in value or bool((number(value) or 0) & 1))
        return Acted(index)

    def _ioctl(self, files: FileTable, call: Ended) -> Acted:
        index, fd, after = self._at(files, call.args)
        text = call.args[after:]
        end = text.find(", ", text.find(")")) if text.startswith("_IOC(") else text.find(", ")
        word = text[:end] if end >= 0 else text
        made = self._requests.get(word)
        if made is None:
            if len(self._requests) > 4096:
                self._requests.clear()
            made = self._requests[word] = request(word, self._arch)
        if call.ok and index is not None and made.text in ("FIOCLEX", "FIONCLEX"):
            files.put(fd, index, made.text == "FIOCLEX")
        return Acted(index, None, made)

    def _close(self, files: FileTable, call: Ended) -> Acted:
        index, fd, _ = self._at(files, call.args)
        if call.ok:
            files.pop(fd, None)
            files.cloexec.discard(fd)
        return Acted(index)

    def _close_range(self, files: FileTable, call: Ended) -> Acted:
        if call.ok:
            words = call.args.split(", ")
            first, last = number(words[0]) or 0, number(words[1]) if len(words) > 1 else None
            last = 1 << 32 if last is None else last
            flags = words[2] if len(words) > 2 else ""
            inside = [fd for fd in files if fd.isdigit() and first <= int(fd) <= last]
            for fd in inside:
                if "CLOEXEC" in flags or (number(flags) or 0) & 4:
                    files.cloexec.add(fd)
                else:
                    files.pop(fd)
                    files.cloexec.discard(fd)
        return NOTHING

    def _send(self, files: FileTable, call: Ended) -> Acted:
        index = self._at(files, call.args)[0]
        if call.ok and "SCM_RIGHTS" in call.args:
            for message in _SCM.finditer(call.args):
                sent = [self._at(files, fd[0])[0] for fd in FDS.finditer(message[1])]
                self._passed.append(sent)
        return Acted(index)

    def _receive(self, files: FileTable, call: Ended) -> Acted:
        index = self._at(files, call.args)[0]
        if call.ok and "SCM_RIGHTS" in call.args:
            cloexec = "MSG_CMSG_CLOEXEC" in call.args
            for message in _SCM.finditer(call.args):
                fds = list(FDS.finditer(message[1]))
                # Believed only where one message that can be meant is under way.
                fitting = [sent for sent in self._passed if len(sent) == len(fds)]
                sent: list[int | None] = [None] * len(fds)
                if len(fitting) == 1:
                    sent = fitting[0]
                    self._passed.remove(sent)
                for fd, known in zip(fds, sent, strict=True):
                    if fd[2]:
                        known = self.objects.decorated(fd[2], known)
                    if known is None:
                        known = self.objects.unknown()
                    files.put(descriptor(fd[1]), known, cloexec)
        return Acted(index)
