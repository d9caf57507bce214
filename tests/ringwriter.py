"""Builds ring buffer pages, capture folders and trace.dat files for tests, byte by byte."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

ENTER, EXIT, SWITCH, NEWTASK, FORK, EXEC, RENAME = 21, 22, 300, 301, 302, 303, 304
NOTHING: Mapping[str, list[bytes]] = MappingProxyType({})

_COMMON = """name: {name}
ID: {id}
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

{fields}
print fmt: ""
"""

_EVENTS = {
    ("raw_syscalls", "sys_enter", ENTER): [
        ("long id", 8, 8, 1),
        ("unsigned long args[6]", 16, 48, 0),
    ],
    ("raw_syscalls", "sys_exit", EXIT): [("long id", 8, 8, 1), ("long ret", 16, 8, 1)],
    ("sched", "sched_switch", SWITCH): [("char prev_comm[16]", 8, 16, 0)],
    ("task", "task_newtask", NEWTASK): [
        ("pid_t pid", 8, 4, 1),
        ("char comm[16]", 12, 16, 0),
        ("unsigned long clone_flags", 32, 8, 0),
        ("short oom_score_adj", 40, 2, 1),
    ],
    ("task", "task_rename", RENAME): [
        ("pid_t pid", 8, 4, 1),
        ("char oldcomm[16]", 12, 16, 0),
        ("char newcomm[16]", 28, 16, 0),
        ("short oom_score_adj", 44, 2, 1),
    ],
    ("sched", "sched_process_fork", FORK): [
        ("char parent_comm[16]", 8, 16, 0),
        ("pid_t parent_pid", 24, 4, 1),
        ("char child_comm[16]", 28, 16, 0),
        ("pid_t child_pid", 44, 4, 1),
    ],
    ("sched", "sched_process_exec", EXEC): [
        ("__data_loc char[] filename", 8, 4, 0),
        ("pid_t pid", 12, 4, 1),
        ("pid_t old_pid", 16, 4, 1),
    ],
}  # fmt: skip

HEADER_EVENT = b"# compressed entry header\n\ttype_len    :    5 bits\n"


def header_page(page: int = 4096, long: int = 8) -> bytes:
    data = 8 + long
    return (
        f"\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
        f"\tfield: local_t commit;\toffset:8;\tsize:{long};\tsigned:1;\n"
        f"\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
        f"\tfield: char data;\toffset:{data};\tsize:{page - data};\tsigned:1;\n"
    ).encode()


def formats() -> dict[tuple[str, str], bytes]:
    return {
        (system, name): _COMMON.format(
            name=name,
            id=id,
            fields="\n".join(
                f"\tfield:{decl};\toffset:{offset};\tsize:{size};\tsigned:{signed};"
                for decl, offset, size, signed in fields
            ),
        ).encode()
        for (system, name, id), fields in _EVENTS.items()
    }


def common(id: int, tid: int, flags: int = 0, order: str = "<") -> bytes:
    return struct.pack(order + "HBBi", id, flags, 0, tid)


def enter(tid: int, nr: int, *args: int, flags: int = 0) -> bytes:
    six = [*args, 0, 0, 0, 0, 0, 0][:6]
    return common(ENTER, tid, flags) + struct.pack("<q6Q", nr, *six)


def leave(tid: int, nr: int, ret: int) -> bytes:
    return common(EXIT, tid) + struct.pack("<qq", nr, ret)


def switch(tid: int, flags: int = 0) -> bytes:
    return common(SWITCH, tid, flags) + b"prev".ljust(16, b"\0")


def newtask(tid: int, child: int, comm: bytes, flags: int) -> bytes:
    return (
        common(NEWTASK, tid) + struct.pack("<i16sxxxxQhxxxxxx", child, comm, flags, 0)
    )  # fmt: skip


def fork(tid: int, child: int) -> bytes:
    return common(FORK, tid) + struct.pack("<16si16si", b"parent", tid, b"child", child)


def execute(tid: int, path: bytes, old: int | None = None) -> bytes:
    name = path + b"\0"
    name += b"\0" * (-len(name) % 4)
    where = (len(path) + 1) << 16 | 20
    return common(EXEC, tid) + struct.pack("<Iii", where, tid, tid if old is None else old) + name


@dataclass
class Cpu:
    """Records of one CPU, laid out in pages as the kernel does."""

    page: int = 4096
    long: int = 8
    order: str = "<"
    pages: list[bytes] = field(default_factory=list)
    _body: bytes = b""
    _start: int | None = None
    _now: int = 0
    missed: int | None = None
    """Records missed before the next page; -1: not known how many."""

    def add(self, ns: int, data: bytes) -> None:
        data += b"\0" * (-len(data) % 4)
        record = self._record(ns - self._now if self._start is not None else 0, data)
        if self._start is not None and len(self._body) + len(record) > self.room:
            self.flush()
            record = self._record(0, data)
        if self._start is None:
            self._start = ns
        self._now = ns
        self._body += record

    @property
    def room(self) -> int:
        return self.page - 8 - self.long

    def _word(self, kind: int, delta: int) -> bytes:
        if self.order == ">":
            return struct.pack(">I", kind << 27 | delta)
        return struct.pack("<I", delta << 5 | kind)

    def _record(self, delta: int, data: bytes) -> bytes:
        before = b""
        if delta >= 1 << 27:
            before = self._word(30, delta & 0x7FFFFFF)
            before += struct.pack(self.order + "I", delta >> 27)
            delta = 0
        if len(data) <= 28 * 4:
            return before + self._word(len(data) // 4, delta) + data
        length = struct.pack(self.order + "I", len(data) + 4)
        return before + self._word(0, delta) + length + data

    def raw(self, record: bytes) -> None:
        """Put bytes behind the records of this page as they are."""
        self._start = self._start or 0
        self._body += record

    def flush(self) -> None:
        if self._start is None:
            return
        commit, tail = len(self._body), b""
        if self.missed is not None:
            commit |= 1 << 31
            if self.missed >= 0 and len(self._body) + self.long <= self.room:
                commit |= 1 << 30
                tail = struct.pack(self.order + ("Q" if self.long == 8 else "I"), self.missed)
            self.missed = None
        head = struct.pack(self.order + ("QQ" if self.long == 8 else "QI"), self._start, commit)
        self.pages.append((head + self._body + tail).ljust(self.page, b"\0"))
        self._body, self._start = b"", None

    def data(self) -> bytes:
        self.flush()
        return b"".join(self.pages)


def folder(path: Path, cpus: dict[int, bytes], **info: object) -> Path:
    """A folder as ``kfoot.collect.ftrace`` writes it."""
    path.mkdir(parents=True, exist_ok=True)
    page = int(info.get("page_bytes", 4096))  # type: ignore[call-overload]
    long = int(info.get("long_bytes", 8))  # type: ignore[call-overload]
    (path / "info.json").write_text(json.dumps({"clock": "mono", "page_bytes": page, **info}))
    (path / "header_page.txt").write_bytes(header_page(page, long))
    (path / "header_event.txt").write_bytes(HEADER_EVENT)
    (path / "formats.txt").write_bytes(
        b"".join(
            f"# {system}/{name}\n".encode() + text + b"\n"
            for (system, name), text in formats().items()
        )
    )
    for cpu, data in cpus.items():
        (path / f"cpu{cpu}.pages").write_bytes(data)
    return path


def _event_section(more: Mapping[str, list[bytes]] = NOTHING) -> tuple[bytes, bytes]:
    """The ftrace events (none) and the event formats by system."""
    systems = {system: list(texts) for system, texts in more.items()}
    for (system, _), text in formats().items():
        systems.setdefault(system, []).append(text)
    body = struct.pack("<I", len(systems))
    for system, texts in systems.items():
        body += system.encode() + b"\0" + struct.pack("<I", len(texts))
        body += b"".join(struct.pack("<Q", len(text)) + text for text in texts)
    return struct.pack("<I", 0), body


def _header_info() -> bytes:
    page = header_page()
    return (
        b"header_page\0" + struct.pack("<Q", len(page)) + page
        + b"header_event\0" + struct.pack("<Q", len(HEADER_EVENT)) + HEADER_EVENT
    )  # fmt: skip


def _options(uname: bytes, stats: dict[int, bytes]) -> list[tuple[int, bytes]]:
    return [
        (5, uname + b"\0"),
        (9, b"3.1.6 test\0"),
        (4, b"local [mono] global\0"),
        *((2, b"CPU: %d\n%s\0" % (cpu, text)) for cpu, text in stats.items()),
    ]


def trace_dat_6(
    cpus: dict[int, bytes],
    *,
    uname: bytes,
    comms: bytes = b"",
    stats: dict[int, bytes] | None = None,
    more: Mapping[str, list[bytes]] = NOTHING,
) -> bytes:
    """``more``: formats of further events, by system."""
    ftrace, events = _event_section(more)
    count = max(cpus) + 1
    head = b"\x17\x08\x44tracing6\0" + struct.pack("<BBI", 0, 8, 4096)
    head += _header_info() + ftrace + events
    head += struct.pack("<I", 3) + b"sym" + struct.pack("<I", 0)
    head += struct.pack("<Q", len(comms)) + comms + struct.pack("<I", count)
    head += b"options  \0"
    for number, data in _options(uname, stats or {}):
        head += struct.pack("<HI", number, len(data)) + data
    head += struct.pack("<H", 0) + b"flyrecord\0"
    at = len(head) + 16 * count
    at += -at % 4096
    table, body = b"", b""
    for cpu in range(count):
        data = cpus.get(cpu, b"")
        table += struct.pack("<QQ", at + len(body), len(data))
        body += data
    return (head + table).ljust(at, b"\0") + body


def trace_dat_7(
    cpus: dict[int, bytes],
    *,
    uname: bytes,
    comms: bytes = b"",
    compression: str = "none",
    stats: dict[int, bytes] | None = None,
    chunk: int = 8192,
) -> bytes:
    def pack(data: bytes) -> bytes:
        if compression == "zlib":
            small = zlib.compress(data)
        else:
            import zstandard

            small = zstandard.ZstdCompressor().compress(data)
        return struct.pack("<II", len(small), len(data)) + small

    packed = compression != "none"
    out = b"\x17\x08\x44tracing7\0" + struct.pack("<BBI", 0, 8, 4096)
    out += compression.encode() + b"\0" + b"1.0\0"
    fixed = len(out)
    out += b"\0" * 8

    def section(number: int, data: bytes, flag: bool = packed) -> int:
        nonlocal out
        at = len(out)
        body = pack(data) if flag else data
        out += struct.pack("<HHIQ", number, int(flag), 0, len(body)) + body
        return at

    ftrace, events = _event_section()
    places = [
        (16, section(16, _header_info())),
        (17, section(17, ftrace)),
        (18, section(18, events)),
        (21, section(21, struct.pack("<Q", len(comms)) + comms)),
    ]
    buffer = len(out)
    out += struct.pack("<HHIQ", 3, int(packed), 0, 0)
    rows = b""
    for cpu, data in cpus.items():
        if packed:
            pieces = [data[at : at + chunk] for at in range(0, len(data), chunk)]
            data = struct.pack("<I", len(pieces)) + b"".join(pack(piece) for piece in pieces)
        else:
            out += b"\0" * (-len(out) % 4096)
        rows += struct.pack("<IQQ", cpu, len(out), len(data))
        out += data
    options = [(number, struct.pack("<Q", at)) for number, at in places]
    options += _options(uname, stats or {})
    options.append(
        (3, struct.pack("<Q", buffer) + b"\0mono\0" + struct.pack("<II", 4096, len(cpus)) + rows)
    )
    body = b"".join(struct.pack("<HI", number, len(data)) + data for number, data in options)
    at = section(0, body + struct.pack("<HIQ", 0, 8, 0), False)
    return out[:fixed] + struct.pack("<Q", at) + out[fixed + 8 :]
