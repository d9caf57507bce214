"""Decorations and paths to objects, each known once.

A footprint must not change from run to run, so numbers that do are left out of names: inode
numbers, pids in /proc, terminals' numbers, and ports of the range the kernel gives out by itself
(32768 and above, ``net.ipv4.ip_local_port_range``).
"""

from __future__ import annotations

import re
from typing import TypeVar

from kfoot.readers.reading import Object
from kfoot.readers.strace_args import unescape

_Key = TypeVar("_Key")

EPHEMERAL = 32768
LIMIT = 200_000
"""Objects told apart: a hostile trace may name another on every line."""
BEYOND = Object("unknown", "[further objects]", how="followed")
"""Stands for all objects beyond the limit."""
_CACHE = 1 << 16

_PROTOCOLS: dict[str, tuple[str | None, str | None, str | None]] = {
    "TCP": ("AF_INET", "SOCK_STREAM", "TCP"),
    "TCPv6": ("AF_INET6", "SOCK_STREAM", "TCP"),
    "MPTCP": ("AF_INET", "SOCK_STREAM", "MPTCP"),
    "MPTCPv6": ("AF_INET6", "SOCK_STREAM", "MPTCP"),
    "UDP": ("AF_INET", "SOCK_DGRAM", "UDP"),
    "UDPv6": ("AF_INET6", "SOCK_DGRAM", "UDP"),
    "UDP-Lite": ("AF_INET", "SOCK_DGRAM", "UDPLITE"),
    "UDPLITEv6": ("AF_INET6", "SOCK_DGRAM", "UDPLITE"),
    "PING": ("AF_INET", "SOCK_DGRAM", "ICMP"),
    "PINGv6": ("AF_INET6", "SOCK_DGRAM", "ICMPV6"),
    "RAW": ("AF_INET", "SOCK_RAW", "RAW"),
    "RAWv6": ("AF_INET6", "SOCK_RAW", "RAW"),
    "UNIX": ("AF_UNIX", None, None),
    "UNIX-STREAM": ("AF_UNIX", "SOCK_STREAM", None),
    "UNIX-DGRAM": ("AF_UNIX", "SOCK_DGRAM", None),
    "UNIX-SEQPACKET": ("AF_UNIX", "SOCK_SEQPACKET", None),
    "NETLINK": ("AF_NETLINK", None, None),
    "PACKET": ("AF_PACKET", None, None),
    "VSOCK": ("AF_VSOCK", None, None),
    "ALG": ("AF_ALG", "SOCK_SEQPACKET", None),
}
"""strace's words (the kernel's struct proto names) for family, type and protocol."""

_DEVICE = re.compile(r"^(.*)<(char|block) (\d{1,10}):(\d{1,10})>$", re.DOTALL)
_SOCKET = re.compile(r"^([A-Za-z][\w-]*):\[(.*)\]$", re.DOTALL)
_PIDFD = re.compile(r"^(pid|pidfd):")
_NSFS = re.compile(r"^([a-z_]+):\[\d+\]$")
_PROC = re.compile(r"^/proc/\d+(?=/|$)")
_TASK = re.compile(r"^(/proc/[^/]+/task)/\d+(?=/|$)")
_PROC_FD = re.compile(r"^(/proc/[^/]+(?:/task/[^/]+)?/(?:fd|fdinfo))/\d+$")
_TERMINAL = re.compile(r"^/dev/pts/\d+$")
_PORT = re.compile(r":(\d{1,5})$")
_RANK = {"recorded": 3, "decorated": 2, "followed": 1, "argument": 0}


def stable_path(path: str) -> str:
    """A path without numbers that change from run to run."""
    if path.startswith("/proc/"):
        path = _TASK.sub(r"\1/<tid>", _PROC.sub("/proc/<pid>", path))
        return _PROC_FD.sub(r"\1/<n>", path)
    if path.startswith("/dev/pts/"):
        return _TERMINAL.sub("/dev/pts/<n>", path)
    return path


def address(text: str) -> str:
    """``1.2.3.4:80`` as it is; "" when the port is one the kernel gave out."""
    port = _PORT.search(text)
    return "" if port and int(port[1]) >= EPHEMERAL else text


def connection(text: str) -> str:
    """``local->remote``: "->remote" where the local port was given out by the kernel, "local"
    where the remote one was, both where neither was."""
    local, arrow, remote = text.partition("->")
    if not arrow:
        return address(local)
    here, there = address(local), address(remote)
    if here and there:
        return f"{here}->{there}"
    return here or "->" + (there or _PORT.sub(":*", remote))


class Objects:
    """The objects of one reading; a better word about one replaces the worse in its place."""

    def __init__(self) -> None:
        self.limit = LIMIT
        self.beyond = 0
        """Objects that were not told apart because there were more than ``limit``."""
        self.rows: list[Object] = []
        self._index: dict[Object, int] = {}
        self._paths: dict[str, int] = {}
        self._raw_paths: dict[str, int] = {}
        self._relative: dict[tuple[int, str], int] = {}
        self._decorations: dict[str, int] = {}

    def add(self, row: Object) -> int:
        """The index of an object that is known by all it has (sockets, anonymous inodes)."""
        bare = row._replace(how="")
        index = self._index.get(bare)
        if index is None:
            index = self._index[bare] = self._new(row)
        elif _RANK[self.rows[index].how] < _RANK[row.how]:
            self.rows[index] = row
        return index

    def _new(self, row: Object) -> int:
        if len(self.rows) < self.limit - 1:
            self.rows.append(row)
            return len(self.rows) - 1
        if len(self.rows) < self.limit:
            self.rows.append(BEYOND)
        self.beyond += 1
        return self.limit - 1

    def unknown(self) -> int:
        """A descriptor of which nothing is known."""
        return self.add(Object("unknown", "", how="followed"))

    def path(self, raw: str) -> int:
        """The object a path argument names, ``raw`` as strace wrote it."""
        index = self._raw_paths.get(raw)
        if index is None:
            index = self._named(stable_path(unescape(raw)), Object("path", "", how="argument"))
            _remember(self._raw_paths, raw, index)
        return index

    def path_below(self, base: int, raw: str) -> int:
        """The object of a path relative to a directory's object."""
        index = self._relative.get((base, raw))
        if index is None:
            folder = self.rows[base].name
            if not folder.startswith("/"):
                return self.path(raw)
            name = f"{folder.rstrip('/')}/{unescape(raw)}"
            index = self._named(stable_path(name), Object("path", "", how="argument"))
            _remember(self._relative, (base, raw), index)
        return index

    def _named(self, name: str, row: Object) -> int:
        index = self._paths.get(name)
        if index is None:
            index = self._new(row._replace(name=name))
            if index < self.limit - 1:
                self._paths[name] = index
        return index

    def exists(self, index: int, *, opened: bool = False) -> None:
        """A call on this path succeeded: it is a file of some kind, not only a name."""
        row = self.rows[index]
        if row.kind == "path":
            row = self.rows[index] = row._replace(kind="file")
        if opened and row.how == "argument":
            self.rows[index] = row._replace(how="followed")

    def refine(self, index: int, kind: str, device: tuple[int, int] | None = None) -> None:
        """A call told the type of a file (stat, O_DIRECTORY, getdents)."""
        row = self.rows[index]
        if row.kind in ("path", "file") and (kind != "file" or row.kind == "path"):
            self.rows[index] = row._replace(kind=kind, device=device or row.device)

    def decorated(self, text: str, hint: int | None = None) -> int:
        """The object of a decoration with its angle brackets, as -y and -yy write it.

        ``hint`` is what following the descriptor says: it knows a socket's type from its birth.
        """
        index = self._decorations.get(text)
        if index is None:
            index = self._read(text, hint)
            _remember(self._decorations, text, index)
        return index

    def _read(self, text: str, hint: int | None) -> int:
        inner = text.removesuffix("(deleted)")[1:-1]
        device = _DEVICE.match(inner)
        if device is not None:
            name = stable_path(unescape(device[1]))
            number = (int(device[3]), int(device[4]))
            return self._filesystem(name, Object(device[2], "", number, how="decorated"))
        if inner.startswith("/"):
            name = unescape(inner)
            if name.startswith("/memfd:"):
                return self.add(Object("file", name, fstype="tmpfs", how="decorated"))
            return self._filesystem(stable_path(name), Object("file", "", how="decorated"))
        if inner.startswith("anon_inode:"):
            name = re.sub(r":\d+$", "", inner[len("anon_inode:") :])
            return self.add(Object("anon", name, how="decorated"))
        if _PIDFD.match(inner):
            return self.add(Object("anon", "[pidfd]", how="decorated"))
        if inner.startswith("pipe:["):
            return self.add(Object("fifo", "pipe", how="decorated"))
        if _NSFS.match(inner) and not inner.startswith("socket:"):
            return self.add(Object("file", inner.split(":")[0], fstype="nsfs", how="decorated"))
        socket = _SOCKET.match(inner)
        if socket is not None:
            return self._socket(socket[1], socket[2], hint)
        return self.add(Object("unknown", unescape(inner), how="decorated"))

    def _filesystem(self, name: str, row: Object) -> int:
        """A named object of a filesystem; what a decoration says replaces what was followed."""
        index = self._named(name, row)
        known = self.rows[index]
        if _RANK[known.how] < _RANK[row.how]:
            kind = known.kind if row.kind == "file" and known.kind != "path" else row.kind
            self.rows[index] = row._replace(name=name, kind=kind, device=row.device or known.device)
        return index

    def _socket(self, word: str, inside: str, hint: int | None) -> int:
        family, kind, protocol = _PROTOCOLS.get(word, (None, None, None))
        if word not in _PROTOCOLS and word != "socket":
            protocol = word
        born = self.rows[hint] if hint is not None else None
        if born is not None and born.kind == "socket" and family in (None, born.family):
            family, kind, protocol = born.family, kind or born.type, protocol or born.protocol
        name = ""
        if family == "AF_NETLINK":
            netlink = re.match(r"[A-Z_0-9]+(?=:)", inside)
            protocol = f"NETLINK_{netlink[0]}" if netlink and not netlink[0].isdigit() else protocol
        elif family == "AF_UNIX":
            path = re.search(r'(@?)"(.*)"$', inside, re.DOTALL)
            name = unix_name(path[1] + path[2]) if path else ""
        elif not inside.isdigit():
            name = connection(inside)
        return self.add(
            Object("socket", name, None, None, None, family, kind, protocol, "decorated")
        )


def _remember(cache: dict[_Key, int], key: _Key, value: int) -> None:
    """Keep a bounded cache: a hostile trace may name something else on every line."""
    if len(cache) >= _CACHE:
        cache.clear()
    cache[key] = value


def unix_name(raw: str) -> str:
    """A unix socket's path, or @ and its abstract name; names the kernel made up become
    ``@<auto>`` (unix_autobind: five hexadecimal digits)."""
    name = unescape(raw)
    return "@<auto>" if re.fullmatch(r"@[0-9a-f]{5}", name) else stable_path(name)
