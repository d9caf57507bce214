"""Follows descriptors through the calls that make, copy, pass and close them.

One ``FileTable`` is what tasks that share descriptors (CLONE_FILES) have in common. Each call is
given to ``Descriptors.act``, which says what it acted on and keeps the table up to date. A
decoration (-y, -yy) is believed before what was followed.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from kfoot.readers.reading import Object, Request
from kfoot.readers.strace_args import FD, STRING, descriptor, number, request, unescape
from kfoot.readers.strace_objects import Objects, address, unix_name
from kfoot.readers.syscall_roles import (
    ANONYMOUS,
    DIR_PATH,
    DIRECTORY_CALLS,
    FD_FIRST,
    OPENS,
    PATH,
    TWO_DIR_PATHS,
    TWO_PATHS,
)

O_CLOEXEC = 0o2000000
"""The same number for open, socket, epoll, eventfd, timerfd, signalfd, inotify and pipe2 on all
architectures but alpha, parisc and sparc."""


class FileTable(dict[str, int]):
    """Open descriptors (as decimal text) to object indices."""

    __slots__ = ("cloexec",)

    def __init__(self, other: FileTable | None = None):
        super().__init__(other or {})
        self.cloexec: set[str] = set(other.cloexec) if other else set()

    def put(self, fd: str, index: int, cloexec: bool) -> None:
        self[fd] = index
        if cloexec:
            self.cloexec.add(fd)
        else:
            self.cloexec.discard(fd)

    def exec(self) -> FileTable:
        """The table after a successful exec: a copy without what is closed on exec."""
        after = FileTable()
        after.update((fd, index) for fd, index in self.items() if fd not in self.cloexec)
        return after


class Acted(NamedTuple):
    """What a call acted on, as indices of objects."""

    object: int | None = None
    object2: int | None = None
    request: Request | None = None


NOTHING = Acted()


class Ended(NamedTuple):
    """A call that came back, as the handlers see it."""

    name: str
    args: str
    result: str
    decoration: str | None
    ok: bool


_FDS = re.compile(rf"(?<![\w]){FD.pattern}", re.DOTALL)
_PAIR = re.compile(r"\[(.*)\]", re.DOTALL)
_SCM = re.compile(
    r"cmsg_type=(?:SCM_RIGHTS|0x1(?: /\* SCM_RIGHTS \*/)?), cmsg_data=\[(.*?)\]", re.DOTALL
)
_MODE = re.compile(r"stx?_mode=(?:0[0-7x]+ /\* )?S_IF(REG|DIR|CHR|BLK|IFO|SOCK)")
_RDEV = re.compile(r"st_rdev=makedev\((0x[0-9a-f]+|\d+)(?: /\*.*?\*/)?, (0x[0-9a-f]+|\d+)")
_KINDS = {
    "REG": "file",
    "DIR": "directory",
    "CHR": "char",
    "BLK": "block",
    "IFO": "fifo",
    "SOCK": "socket",
}
_MMAP_FD = re.compile(r"(?:[^,]*, ){4}", re.DOTALL)
_WORD = re.compile(r"(?:(0x[0-9a-fA-F]+|\d+)(?: /\* )?)?([A-Z_][A-Z0-9_|]*)?")
_INET = re.compile(r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]*)"\)')
_INET6 = re.compile(r'sin6_port=htons\((\d+)\).*?inet_pton\(AF_INET6, "([^"]*)"')
_UNIX = re.compile(r'sun_path=(@?)"((?:[^"\\]|\\.)*)"', re.DOTALL)

_FAMILIES = {
    1: "AF_UNIX",
    2: "AF_INET",
    10: "AF_INET6",
    16: "AF_NETLINK",
    17: "AF_PACKET",
    29: "AF_CAN",
    31: "AF_BLUETOOTH",
    38: "AF_ALG",
    40: "AF_VSOCK",
    44: "AF_XDP",
}
_TYPES = {
    1: "SOCK_STREAM",
    2: "SOCK_DGRAM",
    3: "SOCK_RAW",
    4: "SOCK_RDM",
    5: "SOCK_SEQPACKET",
    10: "SOCK_PACKET",
}
_DEFAULT_PROTOCOL = {"SOCK_STREAM": "TCP", "SOCK_DGRAM": "UDP"}
_IP_PROTOCOLS = {
    1: "ICMP",
    6: "TCP",
    17: "UDP",
    58: "ICMPV6",
    132: "SCTP",
    136: "UDPLITE",
    255: "RAW",
    262: "MPTCP",
}
_NETLINK = {
    0: "NETLINK_ROUTE",
    4: "NETLINK_SOCK_DIAG",
    9: "NETLINK_AUDIT",
    12: "NETLINK_NETFILTER",
    15: "NETLINK_KOBJECT_UEVENT",
    16: "NETLINK_GENERIC",
}

F_DUPFD, F_SETFD, F_DUPFD_CLOEXEC = 0, 2, 1030


class Descriptors:
    """What calls act on; one for a whole trace, as descriptors may be passed between tasks."""

    def __init__(self, objects: Objects, arch: str | None = None):
        self.objects = objects
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

    # --- descriptors and paths in arguments ---

    def _at(self, files: FileTable, text: str, start: int = 0) -> tuple[int | None, str, int]:
        """The descriptor argument at ``start``: its object, its number, where the next begins."""
        found = FD.match(text, start)
        if found is None:
            return None, "-1", start
        fd, after = descriptor(found[1]), found.end() + 2
        if found[2]:
            return self.objects.decorated(found[2], files.get(fd)), fd, after
        if fd in files:
            return files[fd], fd, after
        if fd in ("AT_FDCWD", "-1") or fd.startswith("-"):
            return None, fd, after
        return self.objects.unknown(), fd, after

    def _fd(self, files: FileTable, call: Ended) -> Acted:
        index = self._at(files, call.args)[0]
        if call.ok and index is not None and call.name in DIRECTORY_CALLS:
            self.objects.refine(index, "directory")
        return Acted(index)

    def _name(self, text: str, start: int, base: int | None) -> tuple[int | None, int]:
        """The object of the path argument at ``start``, relative to ``base``; where it ends."""
        found = STRING.match(text, start)
        if found is None:
            return None, start
        raw = found[1]
        if found[2]:
            raw += found[2]
        if not raw:
            return base, found.end()
        if base is None or raw.startswith(("/", "\\x2f", "\\57")):
            return self.objects.path(raw), found.end()
        return self.objects.path_below(base, raw), found.end()

    def _dir_path(self, files: FileTable, call: Ended) -> Acted:
        base, _, after = self._at(files, call.args)
        index, after = self._name(call.args, after, base)
        return self._seen(index, call, after)

    def _path(self, files: FileTable, call: Ended) -> Acted:
        index, after = self._name(call.args, 0, None)
        return self._seen(index, call, after)

    def _seen(self, index: int | None, call: Ended, after: int) -> Acted:
        """A path was used; what success and a stat's answer say of it."""
        if index is None:
            return NOTHING
        if call.ok:
            if call.name not in ("unlink", "unlinkat", "rmdir"):
                self.objects.exists(index)
            if call.name in DIRECTORY_CALLS:
                self.objects.refine(index, "directory")
            elif not call.name.startswith(("lstat", "oldlstat")) and "NOFOLLOW" not in call.args:
                self._stat(index, call.args, after)
        return Acted(index)

    def _stat(self, index: int, args: str, after: int) -> None:
        mode = _MODE.search(args, after)
        if mode is None:
            return
        kind, device = _KINDS[mode[1]], None
        if kind in ("char", "block"):
            number_of = _RDEV.search(args, mode.end())
            if number_of:
                device = (number(number_of[1]) or 0, number(number_of[2]) or 0)
        self.objects.refine(index, kind, device)

    def _two_dir_paths(self, files: FileTable, call: Ended) -> Acted:
        base, _, after = self._at(files, call.args)
        first, after = self._name(call.args, after, base)
        base, _, after = self._at(files, call.args, after + 2)
        second, _ = self._name(call.args, after, base)
        return self._both(first, second, call)

    def _two_paths(self, files: FileTable, call: Ended) -> Acted:
        first, after = self._name(call.args, 0, None)
        second, _ = self._name(call.args, after + 2, None)
        return self._both(first, second, call)

    def _both(self, first: int | None, second: int | None, call: Ended) -> Acted:
        for index in (first, second):
            if call.ok and index is not None:
                self.objects.exists(index)
        return Acted(first, second)

    def _symlink(self, files: FileTable, call: Ended) -> Acted:
        target = STRING.match(call.args)
        after = target.end() + 2 if target else 0
        index, after = self._name(call.args, after, None)
        return self._seen(index, call, after)

    def _symlinkat(self, files: FileTable, call: Ended) -> Acted:
        target = STRING.match(call.args)
        base, _, after = self._at(files, call.args, target.end() + 2 if target else 0)
        index, after = self._name(call.args, after, base)
        return self._seen(index, call, after)

    def _exec(self, files: FileTable, call: Ended) -> Acted:
        at, base = 0, None
        if call.name == "execveat":
            base, _, at = self._at(files, call.args)
        index, _ = self._name(call.args, at, base)
        if index is not None and call.ok:
            self.objects.exists(index, opened=True)
        return Acted(index)

    # --- calls that make descriptors ---

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
        acted = self._made(files, call, index, _cloexec(call.args[after:]))
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
        cloexec = _cloexec(call.args) or call.name == "pidfd_open"
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
            cloexec = _cloexec(call.args.replace(pair[0], ""))
            for fd in _FDS.finditer(pair[1]):
                if fd[2]:
                    index = self.objects.decorated(fd[2], index)
                files.put(descriptor(fd[1]), index, cloexec)
        return Acted(index)

    def _pipe(self, files: FileTable, call: Ended) -> Acted:
        return self._pair(files, call, self.objects.add(Object("fifo", "pipe", how="followed")))

    def _socket(self, files: FileTable, call: Ended) -> Acted:
        index = self.objects.add(_socket_of(call.args))
        if call.ok and call.decoration is None:
            return self._made(files, call, index, _cloexec(call.args))
        if call.ok:
            # A new socket's decoration holds less than its arguments.
            files.put(descriptor(call.result), index, _cloexec(call.args))
        return Acted(index)

    def _socketpair(self, files: FileTable, call: Ended) -> Acted:
        return self._pair(files, call, self.objects.add(_socket_of(call.args)))

    def _accept(self, files: FileTable, call: Ended) -> Acted:
        index = self._at(files, call.args)[0]
        if call.ok:
            self._made(files, call, index, _cloexec(call.args))
        return Acted(index)

    def _address(self, files: FileTable, call: Ended) -> Acted:
        index, fd, after = self._at(files, call.args)
        row = self.objects.rows[index] if index is not None else None
        if row is None or row.kind != "socket":
            return Acted(index)
        name = _sockaddr(call.args[after:])
        if call.name == "connect" and name and row.family != "AF_UNIX":
            name = "->" + name
        if name:
            index = self.objects.add(row._replace(name=name, how="followed"))
            if call.ok or "EINPROGRESS" in call.result:
                files[fd] = index
        return Acted(index)

    # --- calls that copy, pass and close them ---

    def _dup(self, files: FileTable, call: Ended) -> Acted:
        index, fd, after = self._at(files, call.args)
        if call.ok and not (call.name == "dup2" and fd == descriptor(call.result)):
            self._made(files, call, index, call.name == "dup3" and _cloexec(call.args[after:]))
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
                sent = [self._at(files, fd[0])[0] for fd in _FDS.finditer(message[1])]
                self._passed.append(sent)
        return Acted(index)

    def _receive(self, files: FileTable, call: Ended) -> Acted:
        index = self._at(files, call.args)[0]
        if call.ok and "SCM_RIGHTS" in call.args:
            cloexec = "MSG_CMSG_CLOEXEC" in call.args
            for message in _SCM.finditer(call.args):
                fds = list(_FDS.finditer(message[1]))
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

    # --- calls with a descriptor elsewhere, or two ---

    def _mmap(self, files: FileTable, call: Ended) -> Acted:
        if "MAP_ANON" in call.args:
            return NOTHING
        skipped = _MMAP_FD.match(call.args)
        return Acted(self._at(files, call.args, skipped.end())[0]) if skipped else NOTHING

    def _epoll_ctl(self, files: FileTable, call: Ended) -> Acted:
        index, _, after = self._at(files, call.args)
        if call.name == "epoll_ctl":
            after = call.args.find(", ", after) + 2
        return Acted(index, self._at(files, call.args, after)[0])

    def _sendfile(self, files: FileTable, call: Ended) -> Acted:
        out, _, after = self._at(files, call.args)
        return Acted(self._at(files, call.args, after)[0], out)

    def _splice(self, files: FileTable, call: Ended) -> Acted:
        source, _, after = self._at(files, call.args)
        if call.name != "tee":
            after = call.args.find(", ", after) + 2
        return Acted(source, self._at(files, call.args, after)[0])

    def _fanotify_mark(self, files: FileTable, call: Ended) -> Acted:
        index, _, after = self._at(files, call.args)
        for _ in range(2):
            after = call.args.find(", ", after) + 2
        base, _, after = self._at(files, call.args, after)
        return Acted(index, self._name(call.args, after, base)[0])

    def _fstat(self, files: FileTable, call: Ended) -> Acted:
        index, fd, after = self._at(files, call.args)
        if not call.ok or index is None:
            return Acted(index)
        row = self.objects.rows[index]
        if row.kind != "unknown":
            self._stat(index, call.args, after)
            return Acted(index)
        mode = _MODE.search(call.args, after)
        device = _RDEV.search(call.args, after)
        if mode is not None:
            kind = _KINDS[mode[1]]
            pair = (number(device[1]) or 0, number(device[2]) or 0) if device else None
            name = "pipe" if kind == "fifo" else ""
            index = self.objects.add(Object(kind, name, pair, how="followed"))
            files.put(fd, index, fd in files.cloexec)
        return Acted(index)


def _cloexec(flags: str) -> bool:
    """Whether a call's flags close the new descriptor on exec, in words or as a number."""
    if "CLOEXEC" in flags:
        return True
    return any(int(word, 16) & O_CLOEXEC for word in re.findall(r"\b0x[0-9a-f]{5,7}\b", flags))


def _words(text: str) -> str:
    found = _WORD.match(text)
    return (found[2] or "") if found else ""


def _member(text: str, names: dict[int, str]) -> str | None:
    """A constant by its word, or by its number under -X raw."""
    found = _WORD.match(text)
    if found is None:
        return None
    if found[2]:
        return found[2].split("|")[0]
    return (
        names.get(int(found[1], 0) & 0xF)
        if found[1] and names is _TYPES
        else (names.get(int(found[1], 0)) if found[1] else None)
    )


def _socket_of(args: str) -> Object:
    """The socket that ``socket`` or ``socketpair`` makes."""
    words = [*args.split(", ", 3), "", "", ""]
    family, kind = _member(words[0], _FAMILIES), _member(words[1], _TYPES)
    protocol: str | None = None
    if family in ("AF_INET", "AF_INET6"):
        protocol = _member(words[2], _IP_PROTOCOLS)
        protocol = protocol.removeprefix("IPPROTO_") if protocol else None
        if protocol in (None, "IP"):
            protocol = _DEFAULT_PROTOCOL.get(kind or "")
    elif family == "AF_NETLINK":
        protocol = _member(words[2], _NETLINK)
    elif family == "AF_PACKET":
        protocol = None
    return Object("socket", "", family=family, type=kind, protocol=protocol, how="followed")


def _sockaddr(text: str) -> str:
    """A socket address as it stands in a name; "" when it says nothing stable."""
    if found := _INET.search(text):
        return address(f"{found[2]}:{found[1]}")
    if found := _INET6.search(text):
        return address(f"[{found[2]}]:{found[1]}")
    if found := _UNIX.search(text):
        return unix_name(found[1] + found[2])
    return ""
