"""The container of trace-cmd: trace.dat versions 6 and 7, as trace-cmd.dat.v6(5), .v7(5) tell.

Gives the descriptions in the file and where each CPU's pages are; decodes no record. Every length
in it is checked against the file: it may be truncated, corrupt or made to do harm.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from kfoot.errors import InputError
from kfoot.readers.ftrace_format import (
    EventFormat,
    PageFormat,
    cmdlines,
    cpu_losses,
    parse_event,
    parse_page,
)

MAGIC = b"\x17\x08\x44tracing"
_MOST_SECTION = 1 << 30
_MOST_CHUNK = 256 << 20
_MOST_STRING = 1 << 16
_COMPRESSED = 1

_DONE, _CPUSTAT, _BUFFER, _CLOCK, _UNAME, _VERSION = 0, 2, 3, 4, 5, 9
_HEADER_INFO, _FTRACE, _EVENTS, _CMDLINES, _TEXT = 16, 17, 18, 21, 22


class CpuData(NamedTuple):
    """Where the pages of one CPU are."""

    cpu: int
    offset: int
    size: int
    compressed: bool


@dataclass(slots=True)
class Buffer:
    """One trace instance ("" is the top one)."""

    name: str
    clock: str | None
    page_bytes: int
    cpus: list[CpuData] = field(default_factory=list)


@dataclass(slots=True)
class TraceDat:
    """What a file says, and where its pages are."""

    path: Path
    version: int
    order: str
    """"<" or ">", as struct has it."""
    page_bytes: int
    compression: str = "none"
    page: PageFormat | None = None
    formats: dict[int, EventFormat] = field(default_factory=dict)
    comms: dict[int, bytes] = field(default_factory=dict)
    buffers: list[Buffer] = field(default_factory=list)
    statistics: dict[int, dict[str, int]] = field(default_factory=dict)
    """Losses by kind of each CPU, of the top instance."""
    uname: list[str] = field(default_factory=list)
    tool: str | None = None
    clock: str | None = None
    has_text: bool = False
    """It holds the text of a latency tracer, not pages."""
    unpacked: Path | None = None
    """Where the file's bytes are, when ``path`` itself is packed."""

    @property
    def bytes_at(self) -> Path:
        """The file to seek in."""
        return self.unpacked or self.path


class _Cursor:
    """Reads numbers and strings from a part of the file; ``base`` places errors."""

    def __init__(self, path: Path, file: BinaryIO, order: str, base: int = 0):
        self.path, self.file, self.order, self.base = path, file, order, base

    def seek(self, offset: int) -> None:
        try:
            self.file.seek(offset)
        except (OSError, OverflowError, ValueError):
            raise InputError(
                self.path, f"points to offset {offset}", expected="an offset inside the file"
            ) from None

    def take(self, size: int, what: str) -> bytes:
        data = self.file.read(size) if 0 <= size <= _MOST_SECTION else b""
        if len(data) != size:
            at = self.base + self.file.tell() - len(data)
            raise InputError(self.path, "ends early", where=f"offset {at}", expected=what)
        return data

    def number(self, size: int, what: str) -> int:
        return int.from_bytes(self.take(size, what), "big" if self.order == ">" else "little")

    def string(self, what: str) -> bytes:
        at = self.file.tell()
        data = self.file.read(_MOST_STRING)
        end = data.find(b"\0")
        if end < 0:
            raise InputError(
                self.path,
                f"{what} has no end",
                where=f"offset {self.base + at}",
                expected="a string that ends in a zero byte",
            )
        self.file.seek(at + end + 1)
        return data[:end]


def parse(path: Path, file: BinaryIO) -> TraceDat:
    """Read the descriptions. Raises InputError where the file is not as it should be."""
    cursor = _Cursor(path, file, "<")
    cursor.seek(0)
    if cursor.take(len(MAGIC), "the head of a trace.dat") != MAGIC:
        raise InputError(path, "is no trace.dat", where="offset 0", expected="17 08 44 tracing")
    version = cursor.string("the version")
    if version not in (b"6", b"7"):
        raise InputError(
            path,
            f"has version {version[:20].decode('ascii', 'backslashreplace')}",
            expected="version 6 or 7",
        )
    cursor.order = ">" if cursor.number(1, "byte order") == 1 else "<"
    cursor.number(1, "size of a long")
    page = cursor.number(4, "page size")
    if not 512 <= page <= 1 << 24:
        raise InputError(path, f"page size {page}", expected="512 to 16777216")
    found = TraceDat(path, int(version), cursor.order, page)
    (_version_7 if found.version == 7 else _version_6)(found, cursor)
    return found


def _version_6(found: TraceDat, cursor: _Cursor) -> None:
    _header_info(found, cursor)
    _ftrace_events(found, cursor)
    _event_formats(found, cursor)
    cursor.take(cursor.number(4, "size of kallsyms"), "kallsyms")
    cursor.take(cursor.number(4, "size of printk formats"), "printk formats")
    _saved_cmdlines(found, cursor)
    cpus = cursor.number(4, "number of CPUs")
    kind = cursor.take(10, "kind of data")
    others: list[tuple[int, str]] = []
    if kind == b"options  \0":
        while option := cursor.number(2, "option"):
            data = cursor.take(cursor.number(4, "size of an option"), "option")
            if option == _BUFFER and len(data) > 8:
                offset = int.from_bytes(data[:8], "big" if cursor.order == ">" else "little")
                others.append((offset, _word(data[8:])))
            else:
                _option(found, option, data)
        kind = cursor.take(10, "kind of data")
    _flyrecord_6(found, cursor, kind, cpus, "")
    for offset, name in others:
        cursor.seek(offset)
        _flyrecord_6(found, cursor, cursor.take(10, "kind of data"), cpus, name)


def _flyrecord_6(found: TraceDat, cursor: _Cursor, kind: bytes, cpus: int, name: str) -> None:
    if kind == b"latency  \0":
        found.has_text = True
        return
    if kind != b"flyrecord\0":
        raise InputError(
            cursor.path,
            "has data of an unknown kind",
            where=f"offset {cursor.file.tell() - 10}",
            expected="flyrecord or latency",
        )
    buffer = Buffer(name, found.clock, found.page_bytes)
    for cpu in range(cpus):
        offset, size = cursor.number(8, "offset of a CPU"), cursor.number(8, "size of a CPU")
        if size:
            buffer.cpus.append(CpuData(cpu, offset, size, False))
    found.buffers.append(buffer)


def _version_7(found: TraceDat, cursor: _Cursor) -> None:
    found.compression = _word(cursor.string("name of the compression"))
    cursor.string("version of the compression")
    next_section = cursor.number(8, "offset of the options")
    sections: list[tuple[int, int]] = []
    seen: set[int] = set()
    while next_section and next_section not in seen:
        seen.add(next_section)
        part, _ = _section(found, cursor, next_section)
        next_section = 0
        while True:
            option = part.number(2, "option")
            size = part.number(4, "size of an option")
            data = part.take(size, "option")
            if option == _DONE:
                if len(data) >= 8:
                    next_section = _number(data[:8], cursor.order)
                break
            if option == _BUFFER:
                _buffer_7(found, cursor, data)
            elif option in (_HEADER_INFO, _FTRACE, _EVENTS, _CMDLINES) and len(data) >= 8:
                sections.append((option, _number(data[:8], cursor.order)))
            elif option == _TEXT:
                found.has_text = True
            else:
                _option(found, option, data)
    for option, offset in sorted(sections):
        part, _ = _section(found, cursor, offset)
        {
            _HEADER_INFO: _header_info,
            _FTRACE: _ftrace_events,
            _EVENTS: _event_formats,
            _CMDLINES: _saved_cmdlines,
        }[option](found, part)


def _section(found: TraceDat, cursor: _Cursor, offset: int) -> tuple[_Cursor, bool]:
    """A section's (decompressed) content, and whether it is compressed."""
    cursor.seek(offset)
    cursor.number(2, "section")
    flags = cursor.number(2, "flags of a section")
    cursor.number(4, "name of a section")
    size = cursor.number(8, "size of a section")
    if not flags & _COMPRESSED:
        data = cursor.take(size, "a section")
        return _Cursor(cursor.path, io.BytesIO(data), cursor.order, offset + 16), False
    packed = cursor.number(4, "compressed size")
    plain = cursor.number(4, "uncompressed size")
    if plain > _MOST_SECTION:
        raise InputError(cursor.path, "says it is too large", where=f"section at {offset}")
    data = decompress(found, cursor.take(packed, "a compressed section"), plain, f"{offset}")
    return _Cursor(cursor.path, io.BytesIO(data), cursor.order, 0), True


def _buffer_7(found: TraceDat, cursor: _Cursor, data: bytes) -> None:
    part = _Cursor(cursor.path, io.BytesIO(data), cursor.order)
    offset = part.number(8, "offset of a buffer")
    name, clock = _word(part.string("name of a buffer")), _word(part.string("clock"))
    page = part.number(4, "page size")
    if not 512 <= page <= 1 << 24:
        raise InputError(cursor.path, f"page size {page}", expected="512 to 16777216")
    cursor.seek(offset)
    cursor.number(2, "section")
    compressed = bool(cursor.number(2, "flags of a section") & _COMPRESSED)
    buffer = Buffer(name, clock, page)
    for _ in range(part.number(4, "number of CPUs")):
        cpu = part.number(4, "CPU")
        at, size = part.number(8, "offset of a CPU"), part.number(8, "size of a CPU")
        if size:
            buffer.cpus.append(CpuData(cpu, at, size, compressed))
    found.buffers.append(buffer)


def _option(found: TraceDat, option: int, data: bytes) -> None:
    text = data.split(b"\0", 1)[0]
    if option == _UNAME:
        found.uname = text.decode("utf-8", "backslashreplace").split()
    elif option == _VERSION:
        found.tool = f"trace-cmd {text.decode('utf-8', 'backslashreplace').split(' ')[0]}"
    elif option == _CLOCK and b"[" in text:
        found.clock = _word(text.partition(b"[")[2].partition(b"]")[0])
    elif option == _CPUSTAT:
        name, _, cpu = text.partition(b"\n")[0].partition(b":")
        if name == b"CPU" and cpu.strip().isdigit() and len(cpu) < 9:
            found.statistics.setdefault(int(cpu), cpu_losses(text))


def _header_info(found: TraceDat, cursor: _Cursor) -> None:
    if cursor.take(12, "header_page") != b"header_page\0":
        raise InputError(cursor.path, "has no header_page", expected="header_page")
    text = cursor.take(cursor.number(8, "size of header_page"), "header_page")
    found.page = parse_page(text, big_endian=cursor.order == ">")
    if cursor.take(13, "header_event") != b"header_event\0":
        raise InputError(cursor.path, "has no header_event", expected="header_event")
    cursor.take(cursor.number(8, "size of header_event"), "header_event")


def _ftrace_events(found: TraceDat, cursor: _Cursor) -> None:
    _formats(found, cursor, "ftrace")


def _event_formats(found: TraceDat, cursor: _Cursor) -> None:
    for _ in range(cursor.number(4, "number of systems")):
        _formats(found, cursor, _word(cursor.string("name of a system")))


def _formats(found: TraceDat, cursor: _Cursor, system: str) -> None:
    for _ in range(cursor.number(4, "number of events")):
        text = cursor.take(cursor.number(8, "size of a format"), "format of an event")
        event = parse_event(text, system)
        if event is not None:
            found.formats[event.id] = event


def _saved_cmdlines(found: TraceDat, cursor: _Cursor) -> None:
    size = cursor.number(8, "size of the command lines")
    found.comms.update(cmdlines(cursor.take(size, "command lines")))


def chunks(found: TraceDat, file: BinaryIO, data: CpuData) -> Iterator[bytes]:
    """Decompressed pages of one CPU, chunk by chunk. Raises InputError at damage."""
    cursor = _Cursor(found.path, file, found.order)
    cursor.seek(data.offset)
    at = data.offset + 4
    for _ in range(cursor.number(4, "number of chunks")):
        cursor.seek(at)
        packed = cursor.number(4, "compressed size")
        plain = cursor.number(4, "uncompressed size")
        if plain > _MOST_CHUNK:
            raise InputError(found.path, "says it is too large", where=f"chunk at {at}")
        yield decompress(found, cursor.take(packed, "a compressed chunk"), plain, f"{at}")
        at += 8 + packed


def decompress(found: TraceDat, data: bytes, size: int, where: str) -> bytes:
    """At most ``size`` bytes out of one compressed piece."""
    try:
        if found.compression == "zlib":
            plain = zlib.decompressobj().decompress(data, size) if size else b""
        elif found.compression == "zstd":
            import zstandard

            try:
                plain = zstandard.ZstdDecompressor().stream_reader(data).read(size)
            except zstandard.ZstdError as error:
                raise zlib.error(str(error)) from None
        else:
            raise InputError(
                found.path,
                f"is compressed by {found.compression!r}",
                expected="zstd, zlib or none",
                hint="`trace-cmd convert --compression none` rewrites it",
            )
    except (zlib.error, struct.error, MemoryError) as error:
        raise InputError(found.path, f"cannot be unpacked: {error}", where=where) from None
    if len(plain) != size:
        raise InputError(
            found.path,
            f"unpacks to {len(plain)} bytes",
            where=f"offset {where}",
            expected=f"{size} bytes",
        )
    return plain


def _number(data: bytes, order: str) -> int:
    return int.from_bytes(data, "big" if order == ">" else "little")


def _word(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
