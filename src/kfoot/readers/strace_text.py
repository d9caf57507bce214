"""Reader ``strace``: text of strace in any style, a file or the set of files of ``strace -ff``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kfoot.errors import InputError
from kfoot.readers.base import Options
from kfoot.readers.files import Lines, bare_name
from kfoot.readers.reading import Reading
from kfoot.readers.strace_assemble import NAME, Assembler
from kfoot.readers.strace_line import ANY, leader, style_of
from kfoot.readers.strace_set import read_set

_OURS = re.compile(
    r"[a-z_]\w*\(.*\) += (?:-?\d|0x|\?)|[a-z_]\w*\(.*<unfinished \.\.\.>$"
    r"|<\.\.\. \w+ resumed>|\+\+\+ (?:exited|killed) |--- SIG[A-Z]+ "
)
"""What only strace writes behind a line's columns."""
_SNIFFED = 500
"""Lines a sniffer looks at."""


class StraceText:
    """The reader of strace text."""

    name = NAME

    def sniff(self, path: Path, head: bytes) -> bool:
        """Several lines that only strace writes, or one in a short file."""
        lines = head.decode("utf-8", "replace").split("\n")[:_SNIFFED]
        wanted = min(3, max(1, len(lines) // 4))
        for line in lines:
            columns = leader(ANY).match(line)
            wanted -= columns is not None and _OURS.match(line, columns.end()) is not None
            if not wanted:
                return True
        return False

    def groups(self, paths: Sequence[Path]) -> list[list[Path]]:
        """Files of one ``-ff`` run (NAME.PID) together, others alone."""
        sets: dict[tuple[Path, str], list[Path]] = {}
        for path in paths:
            stem, _, pid = bare_name(path).rpartition(".")
            alone = not (stem and pid.isdigit())
            key = (path, "") if alone else (path.parent, stem)
            sets.setdefault(key, []).append(path)
        return list(sets.values())

    def read(self, paths: Sequence[Path], options: Options) -> Reading:
        """Read one file, or the files of one -ff run. Raises InputError when there is no call."""
        natively = _natively(paths[0], options) if len(paths) == 1 else None
        assembler = natively or Assembler(options)
        if natively is None and len(paths) == 1:
            _read_file(assembler, paths[0], options)
        elif natively is None:
            read_set(assembler, paths, options, _read_file)
        reading = assembler.reading(", ".join(path.name for path in paths))
        if not reading.calls:
            raise InputError(
                paths[0],
                "holds no system call",
                where=f"line {reading.samples[0][0]}" if reading.samples else None,
                expected="strace text",
            )
        return reading


def _natively(path: Path, options: Options) -> Assembler | None:
    """The assembler after reading a file with the native scanner's help; None where there is
    none, or the file is not for it."""
    from kfoot.readers import strace_native

    return strace_native.read_file(path, options)


def _read_file(assembler: Assembler, path: Path, options: Options) -> None:
    lines = Lines(path, options)
    style = None
    assembler.line = 0
    for batch in lines.batches():
        if style is None:
            style = style_of(batch[:200])
        assembler.feed(batch, style)
    assembler.close(lines)


READER = StraceText()
