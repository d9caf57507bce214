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

    A plain file is memory-mapped (its pieces are memoryviews), a compressed one is unpacked. Of a
    last line without newline the first ``longest`` bytes are given, with one. ``broken`` tells
    afterwards why a compressed file ended early.
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

    def _unpacked(self, source: Source) -> Iterator[bytes]:
        rest: list[bytes] = []
        held = 0
        while block := source.read():
            rest.append(block)
            held += len(block)
            if held < SEGMENT // 4:
                continue
            data = b"".join(rest)
            newline = data.rfind(b"\n")
            if newline >= 0:
                yield data[: newline + 1]
            tail = data[newline + 1 :]
            rest = [tail[: self._longest]] if tail else []
            held = len(rest[0]) if rest else 0
            if self._progress is not None:
                self._progress(source.position, source.size)
        self.broken = source.broken
        data = b"".join(rest)
        newline = data.rfind(b"\n")
        if newline >= 0:
            yield data[: newline + 1]
        if data[newline + 1 :]:
            self.open_end = True
            yield data[newline + 1 :][: self._longest] + b"\n"
