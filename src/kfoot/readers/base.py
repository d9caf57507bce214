"""The protocol of a reader, and the choice of one by looking at the bytes.

A reader knows one raw format and nothing of collectors, atlas or reports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from kfoot.readers.reading import Reading

Progress = Callable[[int, int], None]
"""Called with bytes read and bytes in all."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may tell a reader that the trace itself does not say."""

    arch: str | None = None
    max_steps: int = 20_000
    """Steps kept in order; what comes later is only counted (``Reading.steps_cut``)."""
    until_s: float | None = None
    """Trim: records later than this time of the trace's own clock are left out."""
    progress: Progress | None = None
    plain: Mapping[Path, Path] = field(default_factory=dict)
    """Packed files of which the same bytes are to be had unpacked, and where."""


class Reader(Protocol):
    """One raw format."""

    name: str

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether a file that begins with ``head`` (decompressed, up to 64 KiB) is this format."""

    def read(self, paths: Sequence[Path], options: Options) -> Reading:
        """Read one file, or the set of files that belong together (strace -ff, per-CPU pages).

        Raises InputError when nothing of it can be used; what cannot be used in part becomes a
        loss or an unparsed line.
        """


@runtime_checkable
class Gatherer(Protocol):
    """A reader of formats that are written to several files (strace -ff, per-CPU pages)."""

    def groups(self, paths: Sequence[Path]) -> list[list[Path]]:
        """Split files of this format into the sets that one reading each is made of."""
