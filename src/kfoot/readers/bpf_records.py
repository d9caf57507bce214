"""The record stream of the ``bpf`` collector (collect/bpf/src/records.h), one record after another.

All numbers are little-endian; x86_64 and arm64 lay the structures out alike.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import NamedTuple

from kfoot.readers.files import BLOCK, Source

MAGIC = b"kfootbpf"
COUNTS_MAGIC = b"kfootcnt"
FORMAT = 1
NONE = 0xFFFFFFFF
NEVER = 0xFFFF
"""The error number of a call that did not return, in the rows of ``counts``."""

_RING = struct.Struct("<II")
_RING_BUSY, _RING_DISCARDED, _RING_LENGTH = 1 << 31, 1 << 30, (1 << 30) - 1
_LONGEST = 1 << 16
"""No record is longer; a longer one means the file is damaged."""
_HEAD = struct.Struct("<HHIIIQ")
_STEP = struct.Struct("<qQII")
_ARGS = struct.Struct("<6Q")
_CALL = struct.Struct("<qQ6QIIHHIII16s")
_OBJECT = struct.Struct("<QIIHHHH16s40s16s16sHHI")
_LENGTHS = struct.Struct("<8H")
_CALL_BYTES = _HEAD.size + _CALL.size + 2 * _OBJECT.size + _LENGTHS.size
_ROW = struct.Struct("<IIIHHQQ")


class Kind(IntEnum):
    CALL = 1
    STEP = 2
    OBJECT = 3
    FORK = 4
    EXEC = 5
    EXIT = 6
    ADOPT = 7


_PLAIN = 0xFFFF | 2048 << 16
"""Kind, and the flag LOOSE above it: a step with that flag is a count, too."""
_WHOLE = frozenset(int(kind) for kind in Kind if kind is not Kind.STEP)
"""Kinds laid out as struct call."""


class Flag(IntFlag):
    NEVER = 1
    UNREADABLE = 2
    CUT = 4
    CWD = 8
    RESULT = 16
    AT = 32
    AT2 = 64
    FOLDED = 128
    NO_LATENCY = 256
    CHANGED = 512
    EXECUTED = 1024
    LOOSE = 2048


class Seen(NamedTuple):
    """struct object: a file as the kernel had it."""

    id: int
    device: tuple[int, int]
    mode: int
    family: int
    type: int
    protocol: int
    fs: str
    operations: str
    local: bytes
    remote: bytes
    local_port: int
    remote_port: int
    present: bool


class Call(NamedTuple):
    """struct call, for every kind of record but STEP."""

    kind: int
    flags: int
    shape: int
    tid: int
    pid: int
    ns: int
    result: int
    latency: int
    args: tuple[int, ...]
    image: int
    nr: int
    abi: int
    error: int
    other: int
    other2: int
    spare: int
    comm: str
    object: Seen
    second: Seen
    path: str | None
    """The path argument; for EXEC the file executed."""
    path2: bytes
    """The second path argument; for EXEC the arguments, NUL after each."""
    sockaddr: bytes
    name: str | None
    """Path of ``object``; a name without "/" for what lies in no folder."""
    name2: str | None
    cwd: str | None


class Step(NamedTuple):
    """struct step: a call whose shape another record describes."""

    flags: int
    shape: int
    tid: int
    pid: int
    ns: int
    result: int
    latency: int
    image: int
    args: tuple[int, ...]
    """Empty unless every call was recorded in order."""


class Row(NamedTuple):
    """One combination's count."""

    image: int
    shape: int
    nr: int
    error: int
    abi: int
    calls: int
    ns: int


class Damaged(Exception):
    """The stream cannot be read on from here: offset and what stands there."""

    def __init__(self, offset: int, what: str):
        super().__init__(what)
        self.offset = offset


def records(
    path: Path,
    progress: Callable[[int, int], None] | None = None,
    max_steps: int | None = None,
) -> Iterator[Call | Step]:
    """The records of a file, of plain steps (that tell nothing but the order) the first
    ``max_steps``. Raises Damaged where it ends early or holds something else."""
    left = max_steps if max_steps is not None else sys.maxsize
    with Source(path) as source:
        data = source.read(BLOCK)
        if data[: len(MAGIC)] != MAGIC or len(data) < 16:
            raise Damaged(0, "no kfootbpf header")
        (version,) = struct.unpack_from("<I", data, len(MAGIC))
        if version != FORMAT:
            raise Damaged(len(MAGIC), f"format {version}, this kfoot reads {FORMAT}")
        offset, at = 0, 16
        while True:
            while (end := _end(data, at, offset)) is not None:
                kind_and_flags = int.from_bytes(
                    data[at + _RING.size : at + _RING.size + 4], "little"
                )
                if kind_and_flags & _PLAIN == Kind.STEP:
                    if left <= 0:
                        at = end[1]
                        continue
                    left -= 1
                found = decode(data, at + _RING.size, end[0])
                if found is not None:
                    yield found
                at = end[1]
            block = source.read(BLOCK)
            if progress is not None:
                progress(source.position, source.size)
            if not block:
                break
            offset += at
            data, at = data[at:] + block, 0
        if source.broken:
            raise Damaged(offset + at, source.broken)
        if at != len(data):
            raise Damaged(offset + at, "the last record is not whole")


def _end(data: bytes, at: int, offset: int) -> tuple[int, int] | None:
    """End of the record at ``at`` and start of the next; None when more data is needed."""
    if at + _RING.size > len(data):
        return None
    header, _ = _RING.unpack_from(data, at)
    length = header & _RING_LENGTH
    if header & _RING_BUSY or length > _LONGEST:
        raise Damaged(offset + at, f"no record header (0x{header:08x})")
    following = at + (length + _RING.size + 7 & ~7)
    return None if following > len(data) else (at + _RING.size + length, following)


def pieces(data: bytes) -> Iterator[Call | Step]:
    """The records of a piece of a ring buffer, as they come while it records."""
    at = 0
    while (end := _end(data, at, 0)) is not None:
        found = decode(data, at + _RING.size, end[0])
        if found is not None:
            yield found
        at = end[1]


def decode(data: bytes, at: int, end: int) -> Call | Step | None:
    """One record of ``data[at:end]``; None for one that is too short or of a kind not known."""
    if end - at < _HEAD.size:
        return None
    kind, flags, shape, tid, pid, ns = _HEAD.unpack_from(data, at)
    at += _HEAD.size
    if kind == Kind.STEP:
        if end - at < _STEP.size:
            return None
        result, latency, image, _ = _STEP.unpack_from(data, at)
        whole = end - at >= _STEP.size + _ARGS.size
        args = _ARGS.unpack_from(data, at + _STEP.size) if whole else ()
        return Step(flags, shape, tid, pid, ns, result, latency, image, args)
    if kind not in _WHOLE or end - at < _CALL_BYTES - _HEAD.size:
        return None
    result, latency, *rest = _CALL.unpack_from(data, at)
    args = tuple(rest[:6])
    image, nr, abi, error, other, other2, spare, comm = rest[6:]
    at += _CALL.size
    first = _seen(data, at)
    second = _seen(data, at + _OBJECT.size)
    at += 2 * _OBJECT.size
    lengths = _LENGTHS.unpack_from(data, at)[:6]
    at += _LENGTHS.size
    parts = []
    for length in lengths:
        parts.append(data[at : min(at + length, end)])
        at += length
    return Call(
        kind, flags, shape, tid, pid, ns, result, latency, args, image, nr, abi, error,
        other, other2, spare, _c_string(comm), first, second,
        _text(parts[0].rstrip(b"\0")) if parts[0] else None,
        parts[1], parts[2],
        *(_walked(part) for part in parts[3:]),
    )  # fmt: skip


def _seen(data: bytes, at: int) -> Seen:
    (
        identity, device, _, mode, family, kind, protocol, fs, operations,
        local, remote, local_port, remote_port, present,
    ) = _OBJECT.unpack_from(data, at)  # fmt: skip
    return Seen(
        identity,
        (device >> 20, device & 0xFFFFF),  # include/linux/kdev_t.h
        mode,
        family,
        kind,
        protocol,
        _c_string(fs),
        _c_string(operations),
        local,
        remote,
        local_port,
        int.from_bytes(remote_port.to_bytes(2, "little"), "big"),
        bool(present),
    )


def _c_string(raw: bytes) -> str:
    return _text(raw.partition(b"\0")[0])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _walked(raw: bytes) -> str | None:
    """Components from the leaf up to a path."""
    if not raw:
        return None
    parts = [_text(part) for part in raw.rstrip(b"\0").split(b"\0")]
    parts.reverse()
    if parts[0] == "/":
        return "/" + "/".join(parts[1:])
    return "/".join(parts)


def rows(path: Path) -> Iterator[Row]:
    """The rows of ``counts``. Raises Damaged."""
    with Source(path) as source:
        data = b""
        while block := source.read():
            data += block
        if data[: len(COUNTS_MAGIC)] != COUNTS_MAGIC:
            raise Damaged(0, "no kfootcnt header")
        body = data[16:]
        whole = len(body) - len(body) % _ROW.size
        for row in _ROW.iter_unpack(body[:whole]):
            yield Row(*row)
        if source.broken or whole != len(body):
            raise Damaged(16 + whole, source.broken or "the last row is not whole")
