"""Raw formats to ``Reading``: the registry of readers, and the choice of one.

A reader's module has a ``READER`` (see ``base.Reader``); it is imported only when it is asked.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from kfoot.errors import InputError, KfootError
from kfoot.readers.base import Gatherer, Options, Reader
from kfoot.readers.files import head
from kfoot.readers.reading import Reading

READERS: list[tuple[str, str]] = [
    ("trace-dat", "kfoot.readers.trace_dat"),
    ("ftrace-pages", "kfoot.readers.ftrace_pages"),
    ("ftrace-text", "kfoot.readers.ftrace_text"),
    ("strace", "kfoot.readers.strace_text"),
]
"""(name, module with an object ``READER``), in the order they are asked to sniff. One line each:
("strace", "kfoot.readers.strace_text"),"""

EXPECTED = (
    "strace text, `strace -c` tables, ftrace text, ring buffer pages with their formats, "
    "trace.dat, perf.data or `perf script` text, babeltrace2 text"
)


def reader(name: str) -> Reader:
    """The reader of a format. Raises KfootError for a name that is none."""
    for known, module in READERS:
        if known == name:
            found: Reader = importlib.import_module(module).READER
            return found
    raise KfootError(
        f"there is no reader for the format {name!r}",
        hint=f"known are {', '.join(known for known, _ in READERS)}",
    )


def sniff(path: Path) -> str:
    """The format of a file, by its first bytes. Raises InputError when no reader knows it."""
    first = head(path)
    for name, _ in READERS:
        if reader(name).sniff(path, first):
            return name
    what = "is empty" if not first else "is in no format kfoot reads"
    raise InputError(path, what, expected=EXPECTED)


def expand(paths: Iterable[Path]) -> list[Path]:
    """Files as they are, folders as the files below them, sorted."""
    found: list[Path] = []
    for path in paths:
        found.extend(
            sorted(below for below in path.rglob("*") if below.is_file())
            if path.is_dir()
            else [path]
        )
    return found


def groups(paths: Sequence[Path], format: str | None = None) -> list[tuple[str, list[Path]]]:
    """Files with their reader's name, those together that one reading is made of.

    Raises InputError for a file in no known format.
    """
    by_name: dict[str, list[Path]] = {}
    for path in expand(paths):
        by_name.setdefault(format or sniff(path), []).append(path)
    found: list[tuple[str, list[Path]]] = []
    for name, members in by_name.items():
        chosen = reader(name)
        sets = chosen.groups(members) if isinstance(chosen, Gatherer) else [[p] for p in members]
        found.extend((name, group) for group in sets)
    return found


def read(
    paths: Sequence[Path], options: Options | None = None, *, format: str | None = None
) -> list[Reading]:
    """Read raw files: one reading a file, or a set of files that belong together.

    ``format`` is a reader's name; without it each file is looked at. Raises InputError for files
    in no known format or of which nothing can be used.
    """
    options = options or Options()
    return [reader(name).read(group, options) for name, group in groups(paths, format)]
