"""Calls that make descriptors: open, socket, pipe, epoll and their kin.

Part of ``descriptors.Descriptors``; see there.
"""

from __future__ import annotations

import re

from kfoot.readers.descriptor_uses import NOTHING, Acted, Acting, Ended, FileTable
from kfoot.readers.reading import Object
from kfoot.readers.strace_args import FD, STRING, descriptor, number, unescape
from kfoot.readers.strace_sockets import socket_address, socket_of
from kfoot.readers.syscall_roles import ANONYMOUS

O_CLOEXEC = 0o2000000
"""The same number for open, socket, epoll, eventfd, timerfd, signalfd, inotify and pipe2 on all
architectures but alpha, parisc and sparc."""

FDS = re.compile(rf"(?<![\w]){FD.pattern}", re.DOTALL)
_PAIR = re.compile(r"\[(.*)\]", re.DOTALL)
_WORD = re.compile(r"(?:(0x[0-9a-fA-F]+|\d+)(?: /\* )?)?([A-Z_][A-Z0-9_|]*)?")


class Making(Acting):
    """Each handler returns what the call acted on and puts what it made into the table."""

    def _made(self, files: FileTable, call: Ended, index: int | None, cloexec: bool) -> Acted:
        """The call returned a descriptor of this object (or of what its decoration says)."""
        if not call.ok:
            return Acted(index)
        if call.decoration:
            index = self.objects.decorated(call.decoration, index)
        if index is None:
            index = self.objects.unknown()
        files.put(descriptor(call.result), index, cloexec)
        return Acted(index)

    def _open(self, files: FileTable, call: Ended) -> Acted:
        at, base = 0, None
        if call.name in ("openat", "openat2", "open_tree"):
            base, _, at = self._at(files, call.args)
        index, after = self._name(call.args, at, base)
        if index is None and call.ok:
            index = self.objects.add(Object("file", "", how="followed"))
        if call.ok and index is not None:
            self.objects.exists(index, opened=True)
        acted = self._made(files, call, index, closes_on_exec(call.args[after:]))
        if call.ok and acted.object is not None and "O_DIRECTORY" in call.args[after:]:
            self.objects.refine(acted.object, "directory")
        return acted

    def _anonymous(self, files: FileTable, call: Ended) -> Acted:
        name = ANONYMOUS[call.name]
        if call.name == "bpf":
            command = _words(call.args)
            if command.endswith("MAP_CREATE"):
                name = "bpf-map"
            elif command.endswith("PROG_LOAD"):
                name = "bpf-prog"
            elif not call.decoration:
                return NOTHING
        elif call.name == "fspick":
            self._dir_path(files, call)
        index = self.objects.add(Object("anon", name, how="followed"))
        cloexec = closes_on_exec(call.args) or call.name == "pidfd_open"
        return self._made(files, call, index, cloexec)

    def _signalfd(self, files: FileTable, call: Ended) -> Acted:
        index, fd, _ = self._at(files, call.args)
        return self._anonymous(files, call) if fd == "-1" else Acted(index)

    def _memfd(self, files: FileTable, call: Ended) -> Acted:
        name, after = STRING.match(call.args), 0
        if name is not None:
            after = name.end()
        fstype = "hugetlbfs" if "MFD_HUGETLB" in call.args[after:] else "tmpfs"
        path = "/memfd:" + (unescape(name[1]) if name else "")
        index = self.objects.add(Object("file", path, fstype=fstype, how="followed"))
        cloexec = "MFD_CLOEXEC" in call.args or bool((number(call.args[after + 2 :]) or 0) & 1)
        return self._made(files, call, index, cloexec)

    def _fd_returns(self, files: FileTable, call: Ended) -> Acted:
        index = self._at(files, call.args)[0]
        if call.ok:
            self._made(files, call, None, True)
        return Acted(index)

    def _pair(self, files: FileTable, call: Ended, index: int) -> Acted:
        pair = _PAIR.search(call.args)
        if call.ok and pair is not None:
            cloexec = closes_on_exec(call.args.replace(pair[0], ""))
            for fd in FDS.finditer(pair[1]):
                if fd[2]:
                    index = self.objects.decorated(fd[2], index)
                files.put(descriptor(fd[1]), index, cloexec)
        return Acted(index)

    def _pipe(self, files: FileTable, call: Ended) -> Acted:
        return self._pair(files, call, self.objects.add(Object("fifo", "pipe", how="followed")))

    def _socket(self, files: FileTable, call: Ended) -> Acted:
        index = self.objects.add(socket_of(call.args))
        if call.ok and call.decoration is None:
            return self._made(files, call, index, closes_on_exec(call.args))
        if call.ok:
            # A new socket's decoration holds less than its arguments.
            files.put(descriptor(call.result), index, closes_on_exec(call.args))
        return Acted(index)

    def _socketpair(self, files: FileTable, call: Ended) -> Acted:
        return self._pair(files, call, self.objects.add(socket_of(call.args)))

    def _accept(self, files: FileTable, call: Ended) -> Acted:
        index = self._at(files, call.args)[0]
        if call.ok:
            self._made(files, call, index, closes_on_exec(call.args))
        return Acted(index)

    def _address(self, files: FileTable, call: Ended) -> Acted:
        index, fd, after = self._at(files, call.args)
        row = self.objects.rows[index] if index is not None else None
        if row is None or row.kind != "socket":
            return Acted(index)
        name = socket_address(call.args[after:])
        if call.name == "connect" and name and row.family != "AF_UNIX":
            name = "->" + name
        if name:
            index = self.objects.add(row._replace(name=name, how="followed"))
            if call.ok or "EINPROGRESS" in call.result:
                files.put(fd, index, fd in files.cloexec)
        return Acted(index)


def closes_on_exec(flags: str) -> bool:
    """Whether a call's flags close the new descriptor on exec, in words or as a number."""
    if "CLOEXEC" in flags:
        return True
    return any(int(word, 16) & O_CLOEXEC for word in re.findall(r"\b0x[0-9a-f]{5,7}\b", flags))


def _words(text: str) -> str:
    found = _WORD.match(text)
    return (found[2] or "") if found else ""
