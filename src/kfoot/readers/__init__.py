"""Raw formats to ``Reading``: the registry of readers, and the choice of one.

A reader's module has a ``READER`` (see ``base.Reader``); it is imported only when it is asked.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kfoot.errors import InputError, KfootError
from kfoot.readers.files import head

if TYPE_CHECKING:
    from kfoot.readers.base import Options, Reader
    from kfoot.readers.reading import Reading

READERS: list[tuple[str, str, tuple[bytes, ...]]] = [
    ("bpf", "kfoot.readers.bpf", (b"kfootbpf", b"kfootcnt", b"{")),
    ("trace-dat", "kfoot.readers.trace_dat", (b"\x17\x08\x44tracing",)),
    ("ftrace-pages", "kfoot.readers.ftrace_pages", ()),
    ("ftrace-text", "kfoot.readers.ftrace_text", ()),
    ("strace", "kfoot.readers.strace_text", ()),
    ("strace-summary", "kfoot.readers.strace_summary", ()),
    ("perf-script", "kfoot.readers.perf_script", ()),
    ("babeltrace", "kfoot.readers.babeltrace", ()),
]
"""(name, module with an object ``READER``, bytes one of which its files begin with), in the order
they are asked to sniff. A reader without such bytes is imported and asked about every file."""

EXPECTED = (
    "strace text, `strace -c` tables, ftrace text, ring buffer pages with their formats, "
    "trace.dat, perf.data or `perf script` text, babeltrace2 text"
)


def reader(name: str) -> Reader:
    """The reader of a format. Raises KfootError for a name that is none."""
    for known, module, _ in READERS:
        if known == name:
            found: Reader = importlib.import_module(module).READER
            return found
    raise KfootError(
        f"there is no reader for the format {name!r}",
        hint=f"known are {', '.join(known for known, _, _ in READERS)}",
    )


def sniff(path: Path) -> str | None:
    """The format of a file, by its name and first bytes; None when no reader knows it.

    Raises InputError when it cannot be read.
    """
    first = head(path)
    for name, _, begins in READERS:
        if (not begins or first.startswith(begins)) and reader(name).sniff(path, first):
            return name
    return None


def groups(paths: Sequence[Path], format: str | None = None) -> list[tuple[str, list[Path]]]:
    """Files with their reader's name, those together that one reading is made of.

    A folder stands for the files below it that are traces. Raises InputError for a file in no known
    format, and for a folder without a trace.
    """
    from kfoot.readers.base import Gatherer

    by_name: dict[str, list[Path]] = {}
    for path in paths:
        known = 0
        below = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in below:
            name = (format or sniff(file)) if file.is_file() or file is path else None
            if name is not None:
                by_name.setdefault(name, []).append(file)
                known += 1
        if not known:
            raise InputError(path, _why_not(path), expected=EXPECTED)
    found: list[tuple[str, list[Path]]] = []
    for name, members in by_name.items():
        chosen = reader(name)
        members = list(dict.fromkeys(members))
        sets = chosen.groups(members) if isinstance(chosen, Gatherer) else [[p] for p in members]
        found.extend((name, group) for group in sets)
    return found


def _why_not(path: Path) -> str:
    if path.is_dir():
        return "has no file in a format kfoot reads"
    return "is in no format kfoot reads" if head(path, 1) else "is empty"


def read(
    paths: Sequence[Path], options: Options | None = None, *, format: str | None = None
) -> list[Reading]:
    """Read raw files: one reading a file, or a set of files that belong together.

    ``format`` is a reader's name; without it each file is looked at. Raises InputError for files
    in no known format or of which nothing can be used.
    """
    from kfoot.readers.base import Options

    options = options or Options()
    with uncollected():
        return [reader(name).read(group, options) for name, group in groups(paths, format)]


@contextmanager
def uncollected() -> Iterator[None]:
    """Without Python's search for cycles: reading makes none, but so many tuples that looking
    through them again and again takes a fifth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            if not gc.get_freeze_count():
                # What was made counts as old, else the next tuple sets off a search through it.
                gc.freeze()
                gc.unfreeze()
            gc.enable()
