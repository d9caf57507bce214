"""The target that needs no way to it: this host."""

from __future__ import annotations

import os


class Local:
    """Reads this host's files. What is missing or forbidden is None, not an error: a target says
    what it has."""

    name = "local"

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None when it cannot be read."""
        try:
            with open(path, "rb", buffering=0) as file:
                return file.readall()
        except OSError:
            return None

    def text(self, path: str) -> str | None:
        """A file's text; bytes that are not UTF-8 are kept as surrogates."""
        data = self.read(path)
        return None if data is None else data.decode("utf-8", "surrogateescape")

    def link(self, path: str) -> str | None:
        """Where a symbolic link points, as an absolute path; None when it is none. Links on the
        way are not followed: sysfs has none, and there are hundreds to read."""
        try:
            return os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
        except OSError:
            return None

    def list(self, path: str) -> list[str]:
        """Sorted names in a folder; none when it cannot be read."""
        try:
            return sorted(os.listdir(path))
        except OSError:
            return []

    def uname(self) -> os.uname_result:
        return os.uname()
