"""Reader ``ftrace-pages``: a folder with the ring buffer's sub-buffers of each CPU.

``cpuN.pages`` (or ``cpuN.raw``), with the descriptions that ``kfoot.collect.ftrace`` writes beside
them: ``info.json``, ``header_page.txt``, ``formats.txt``, ``saved_cmdlines.txt``,
``saved_tgids.txt``, ``tasks.txt``, ``stats.txt``, each plain or compressed. For pages taken by hand
from ``trace_pipe_raw``, a copy of tracefs' ``events/`` folder beside them serves as well.

Here is what tells such a folder from others; what reads it (``ftrace_folder``) is imported when
there is one, as this reader is asked about every file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kfoot.errors import InputError
from kfoot.readers.base import Options
from kfoot.readers.files import bare_name
from kfoot.readers.reading import Reading

_PAGES = re.compile(r"cpu(\d{1,6})\.(?:pages|raw)")
_BESIDE = (
    "info.json",
    "header_page.txt",
    "header_event.txt",
    "formats.txt",
    "printk_formats.txt",
    "saved_cmdlines.txt",
    "saved_tgids.txt",
    "tasks.txt",
    "stats.txt",
)


class FtracePages:
    """The reader (see ``kfoot.readers.base.Reader``). ``paths`` are any files of the folder."""

    name = "ftrace-pages"

    def sniff(self, path: Path, head: bytes) -> bool:
        name = bare_name(path)
        if _PAGES.fullmatch(name):
            return True
        return name in _BESIDE and bool(_pages_in(path.parent))

    def groups(self, paths: Sequence[Path]) -> list[list[Path]]:
        """One set per folder."""
        folders: dict[Path, list[Path]] = {}
        for path in paths:
            folders.setdefault(path.parent, []).append(path)
        return list(folders.values())

    def read(self, paths: Sequence[Path], options: Options) -> Reading:
        from kfoot.readers.ftrace_folder import read_folder

        folder = paths[0] if paths[0].is_dir() else paths[0].parent
        found = _pages_in(folder)
        if not found:
            raise InputError(folder, "has no ring buffer pages", expected="cpu0.pages, ...")
        return read_folder(self.name, folder, found, options)


def _pages_in(folder: Path) -> dict[int, Path]:
    found: dict[int, Path] = {}
    try:
        for path in sorted(folder.iterdir()):
            match = _PAGES.fullmatch(bare_name(path))
            if match:
                found.setdefault(int(match[1]), path)
    except OSError as error:
        raise InputError(folder, f"cannot be read: {error.strerror}") from None
    return found


READER = FtracePages()
