"""The files of one ``strace -ff``: NAME.PID, a file a task.

With absolute times the files are merged line by line. Without, each is read after the task that
made its own, with the descriptors of that moment; what tasks that share descriptors did at the
same time cannot be told then.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kfoot.readers.base import Options
from kfoot.readers.files import Lines, bare_name
from kfoot.readers.strace_args import number
from kfoot.readers.strace_line import ANY, leader

if TYPE_CHECKING:
    from kfoot.readers.strace_assemble import Assembler

MERGED = 200
"""Files open at the same time at most; more are read one after the other."""
_BATCH = 256

_CHILD = re.compile(r"(?:fork|clone|clone2|clone3)\(.*\) += (0x[0-9a-f]{1,8}|\d{1,10})")


class ReadFile(Protocol):
    def __call__(self, assembler: Assembler, path: Path, options: Options, /) -> None: ...


def pid_of(path: Path) -> str:
    """The pid in the name of a file that -ff wrote."""
    return bare_name(path).rpartition(".")[2]


def read_set(
    assembler: Assembler, paths: Sequence[Path], options: Options, read_file: ReadFile
) -> None:
    """Give the assembler the lines of all files in the best order there is."""
    by_pid = {pid_of(path): path for path in paths}
    timed, children = _survey(by_pid)
    if timed and len(paths) <= MERGED:
        _merge(assembler, by_pid, options)
        return
    assembler.tree.separate = True
    left = sorted(by_pid, key=int)
    while left:
        known = (pid for pid in left if pid in assembler.tree.threads)
        roots = (pid for pid in left if pid not in children)
        pid = next(known, None) or next(roots, None) or left[0]
        left.remove(pid)
        assembler.tree.turn_to(pid)
        read_file(assembler, by_pid[pid], options)
    if not timed:
        # Relative times of files that ran beside each other do not add up.
        assembler.untimed()


def _survey(by_pid: dict[str, Path]) -> tuple[bool, set[str]]:
    """Whether every file has absolute times; the pids that forks in them returned."""
    timed, children = True, set()
    for path in by_pid.values():
        first = True
        for line in Lines(path):
            if first and line:
                columns = leader(ANY).match(line)
                timed &= columns is not None and columns[2] is not None
                first = False
            found = _CHILD.search(line) if "fork(" in line or "clone" in line else None
            if found:
                children.add(str(number(found[1])))
    return timed, children


def _timed(pid: str, lines: Lines) -> Iterator[tuple[str, str, str]]:
    """Lines with their time as text; what has none (a stack) goes with the line before."""
    at = ""
    for line in lines:
        columns = leader(ANY).match(line)
        if columns is not None and columns[2]:
            at = columns[2]
        yield at, pid, line


def _merge(assembler: Assembler, by_pid: dict[str, Path], options: Options) -> None:
    files = {pid: Lines(path, options) for pid, path in sorted(by_pid.items())}
    merged = heapq.merge(*(_timed(*item) for item in files.items()), key=lambda row: row[0])
    for pid, rows in groupby(merged, key=lambda row: row[1]):
        assembler.tree.turn_to(pid)
        batch: list[str] = []
        for _, _, line in rows:
            batch.append(line)
            if len(batch) == _BATCH:
                assembler.feed(batch, ANY)
                batch = []
        assembler.feed(batch, ANY)
    for lines in files.values():
        assembler.close(lines)
