"""Readers: one raw trace format each, reduced to a ``Reading``.

``read`` groups files, finds the reader of each and runs it. Readers are imported only when asked.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from kfoot.errors import InputError
from kfoot.readers.base import Options, Reader
from kfoot.readers.reading import Reading

READERS: list[tuple[str, str]] = []
"""(name, module with an object ``READER``), in the order they are asked to sniff. One line each:
("strace", "kfoot.readers.strace_text"),"""


def reader(name: str) -> Reader:
    """The reader of a format by name. Raises KeyError for an unknown one."""
    module = dict(READERS)[name]
    found: Reader = importlib.import_module(module).READER
    return found


def read(paths: Sequence[Path], options: Options, *, format: str | None = None) -> list[Reading]:
    """Read files with the reader named ``format``, as one set; without it, sniff and group them.

    Raises InputError when a file is of no known format, or unusable.
    """
    if format is not None:
        return [reader(format).read(paths, options)]
    raise InputError(paths[0], "is of no known format")
