"""The native scanners, where they were built: finding them, and feeding them files.

``kfoot._native`` is optional (no compiler at install time: pure Python reads, more slowly);
``KFOOT_NATIVE=0`` in the environment leaves it aside.
"""

from __future__ import annotations

import importlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from kfoot.readers.files import Source

if TYPE_CHECKING:
    from kfoot.readers.base import Progress
    from kfoot.readers.reading import Loss

SEGMENT = 128 << 20
"""Bytes given to the scanner's threads at a time: between two of them memory is given back."""
UNPACKED = 4 << 20
"""Bytes of a compressed file unpacked at a time."""
_MOST_THREADS = 64


def native() -> ModuleType | None:
    """The extension, unless it was not built or is switched off."""
    if os.environ.get("KFOOT_NATIVE") == "0":
        return None
    try:
        return importlib.import_module("kfoot._native")
    except ImportError:
        return None


def native_status() -> str:
    """One line for ``kfoot doctor``: which scanners read large traces here."""
    if os.environ.get("KFOOT_NATIVE") == "0":
        return "pure Python (KFOOT_NATIVE=0)"
    if native() is None:
        return "pure Python (the extension was not built: no C compiler at install time)"
    count = threads_here()
    return f"native scanners, {count} thread{'' if count == 1 else 's'}"


def threads_here() -> int:
    """One thread for each CPU this process may use."""
    return max(1, min(len(os.sched_getaffinity(0)), _MOST_THREADS))


class whole_lines:
    """The bytes of a text file in large pieces that end with a newline.

    A plain file is memory-mapped, a compressed one is unpacked in a thread of its own; a piece that
    is a memoryview holds until the next is asked for. Of a last line without newline the first
    ``longest`` bytes are given, with one. ``broken`` tells afterwards why a compressed file ended
    early.
    """

    def __init__(self, path: Path, longest: int, progress: Progress | None = None):
        self.path, self._longest, self._progress = path, longest, progress
        self.broken: str | None = None
        self.open_end = False
        """The last line had no newline: it may have been cut. Set when that line is given."""

    @property
    def losses(self) -> list[Loss]:
        """What a compressed file that ended early lacks."""
        from kfoot.readers.reading import Loss  # counting calls alone needs no reading

        return [Loss("truncated", f"{self.path.name}: {self.broken}", None)] if self.broken else []

    def __iter__(self) -> Iterator[bytes | memoryview]:
        with Source(self.path) as source:
            plain = source.plain
            if not plain or source.size == 0:
                yield from self._unpacked(source)
        if plain and source.size:
            yield from self._mapped()

    def _mapped(self) -> Iterator[bytes | memoryview]:
        with (
            self.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        ):
            size, at = len(mapped), 0
            mapped.madvise(mmap.MADV_SEQUENTIAL)
            with memoryview(mapped) as view:
                while at < size:
                    end = self._end_of_piece(mapped, at, size)
                    if end is None:
                        self.open_end = True
                        yield bytes(view[at : at + self._longest]) + b"\n"
                        end = size
                    else:
                        with view[at:end] as piece:
                            yield piece
                    page = at - at % mmap.PAGESIZE
                    mapped.madvise(mmap.MADV_DONTNEED, page, end - page)
                    at = end
                    if self._progress is not None:
                        self._progress(at, size)

    @staticmethod
    def _end_of_piece(mapped: mmap.mmap, at: int, size: int) -> int | None:
        """Behind the last newline of the next SEGMENT bytes, else the first one behind them."""
        end = min(at + SEGMENT, size)
        newline = mapped.rfind(b"\n", at, end)
        if newline < 0:
            newline = mapped.find(b"\n", end)
        return newline + 1 if newline >= 0 else None

    def _unpacked(self, source: Source) -> Iterator[bytes | memoryview]:
        """Pieces in two buffers, one of which is filled while what is in the other is read. In
        front of each is room for what the one before had behind its last newline."""
        from concurrent.futures import ThreadPoolExecutor

        room = self._longest + 1
        buffers = [bytearray(room + UNPACKED) for _ in range(2)]
        fill = _Filling(source, room).into
        tail = b""
        with ThreadPoolExecutor(1) as ahead:
            filled = ahead.submit(fill, buffers[0])
            while (end := filled.result()) > room:
                buffer = buffers[0]
                buffers.reverse()
                filled = ahead.submit(fill, buffers[0])
                begin = room - len(tail)
                buffer[begin:room] = tail
                newline = buffer.rfind(b"\n", room, end)
                if newline >= 0:
                    with memoryview(buffer) as view, view[begin : newline + 1] as piece:
                        yield piece
                    begin = newline + 1
                tail = bytes(buffer[begin : min(end, begin + room)])
                if self._progress is not None:
                    self._progress(source.position, source.size)
        self.broken = source.broken
        if tail:
            self.open_end = True
            yield tail[: self._longest] + b"\n"


class _Filling:
    """Puts a source's bytes into one buffer after the other."""

    def __init__(self, source: Source, begin: int):
        self._source, self._begin = source, begin
        self._left = memoryview(b"")

    def into(self, buffer: bytearray) -> int:
        """Fill a buffer from ``begin`` on; gives where what it holds ends."""
        at = self._begin
        while at < len(buffer) and (block := self._left or memoryview(self._source.read())):
            part = block[: len(buffer) - at]
            buffer[at : at + len(part)] = part
            at += len(part)
            self._left = block[len(part) :]
        return at
