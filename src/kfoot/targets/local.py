"""The target that needs no way to it: this host."""

from __future__ import annotations

import os
from pathlib import Path


class Local:
    """Reads this host's files. What is missing or forbidden is None, not an error: a target says
    what it has."""

    name = "local"

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None when it cannot be read."""
        try:
            return Path(path).read_bytes()
        except OSError:
            return None

    def text(self, path: str) -> str | None:
        """A file's text; bytes that are not UTF-8 are kept as surrogates."""
        data = self.read(path)
        return None if data is None else data.decode("utf-8", "surrogateescape")

    def link(self, path: str) -> str | None:
        """Where a symbolic link points, all links followed; None when it is none."""
        return os.path.realpath(path) if os.path.islink(path) else None

    def list(self, path: str) -> list[str]:
        """Sorted names in a folder; none when it cannot be read."""
        try:
            return sorted(os.listdir(path))
        except OSError:
            return []

    def uname(self) -> os.uname_result:
        return os.uname()
