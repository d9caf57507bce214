"""A kernel source: a directory or a tarball, read as a stream in one pass.

Reads ``linux-*.tar``, ``.tar.xz``, ``.tar.gz``, ``.tar.bz2`` and ``.tar.zst`` (mainline, stable,
Debian's linux-source and orig tarballs, ``git archive``), with or without one folder around the
tree. Paths come out relative to the top of the tree, with forward slashes.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import lzma
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from kfoot.errors import InputError

LARGEST = 32 << 20
"""Files above this many bytes are not source code; they are listed but not read."""

TOP = frozenset({"arch", "block", "Documentation", "drivers", "fs", "include", "init", "kernel"})
"""Folders at the top of every kernel tree: none of them is the folder around it."""


class Source:
    """One kernel source. ``walk`` may be called once; then ``sha256`` and ``paths`` are known."""

    def __init__(self, path: Path):
        self.path = path
        self.name = path.name
        self.paths: list[str] = []
        """Every file of the tree, sorted, once ``walk`` is through."""
        self.sha256 = ""
        """Of the tarball; of a folder, over the path, size and bytes of each file read."""
        self.done = 0
        """Bytes of ``size`` read so far."""
        self.size = 0
        """Bytes of the tarball; 0 for a folder."""

    def walk(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        """Path and content of each regular file ``wanted`` says yes to, in the source's order.

        Raises InputError when the source is truncated, corrupt or no kernel tree.
        """
        self.paths = []
        entries = self._folder(wanted) if self.path.is_dir() else self._tarball(wanted)
        yield from entries
        self.paths.sort()
        missing = sorted({"MAINTAINERS", "Makefile", "Kconfig"}.difference(self.paths))
        if missing:
            raise InputError(
                self.path,
                f"has no {' and no '.join(missing)} at its top",
                expected="the source of a Linux kernel",
                hint="give the unpacked tree or its linux-*.tar.xz",
            )

    def _folder(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        digest = hashlib.sha256()
        for folder, names, files in os.walk(self.path):
            names.sort()
            if ".git" in names:
                names.remove(".git")
            inside = Path(folder).relative_to(self.path).as_posix()
            for name in sorted(files):
                full = os.path.join(folder, name)
                if os.path.islink(full):
                    continue
                path = name if inside == "." else f"{inside}/{name}"
                self.paths.append(path)
                if not wanted(path) or os.path.getsize(full) > LARGEST:
                    continue
                try:
                    data = Path(full).read_bytes()
                except OSError as error:
                    raise InputError(full, f"cannot be read: {error.strerror}") from None
                digest.update(f"{path}\0{len(data)}\0".encode("utf-8", "surrogateescape"))
                digest.update(data)
                yield path, data
        self.sha256 = digest.hexdigest()

    def _tarball(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        try:
            raw = _Counted(self.path.open("rb"), self)
            self.size = self.path.stat().st_size
        except OSError as error:
            raise InputError(self.path, f"cannot be read: {error.strerror}") from None
        prefix: str | None = None
        with raw:
            try:
                with (
                    _unpacked(raw, self.path) as stream,
                    tarfile.open(fileobj=stream, mode="r|", bufsize=64 << 10) as tar,
                ):
                    for member in tar:
                        name = member.name.removeprefix("./")
                        if prefix is None and name not in ("", "."):
                            prefix = _around(name, member.isdir())
                        if not member.isfile() or not name.startswith(prefix or ""):
                            continue
                        path = name.removeprefix(prefix or "")
                        if path.startswith("/") or ".." in path.split("/"):
                            continue
                        self.paths.append(path)
                        if wanted(path) and member.size <= LARGEST:
                            file = cast(IO[bytes], tar.extractfile(member))
                            yield path, file.read()
                        tar.members = []  # type: ignore[attr-defined]  # else all stay in memory
                raw.drain()
            except _UNPACKING as error:
                raise InputError(
                    self.path,
                    f"cannot be unpacked: {error}",
                    where=f"offset {self.done}",
                    expected="a whole tarball of a Linux kernel",
                ) from None
        self.sha256 = raw.digest.hexdigest()


class _Counted:
    """The tarball's bytes, counted and hashed as they are read."""

    def __init__(self, file: IO[bytes], source: Source):
        self.file = file
        self.source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.digest.update(data)
        self.source.done += len(data)
        return data

    def drain(self) -> None:
        """Read what follows the end of the archive: it is part of the sum."""
        while self.read(1 << 20):
            pass

    def seekable(self) -> bool:
        return False

    def readable(self) -> bool:
        return True

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def _zstd_error() -> type[Exception]:
    try:
        import zstandard
    except ImportError:  # pragma: no cover - a declared dependency
        return OSError
    return zstandard.ZstdError


_UNPACKING: tuple[type[Exception], ...] = (
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
    _zstd_error(),
)


def _unpacked(raw: _Counted, path: Path) -> Any:
    """A stream of the tar archive's bytes, by the file's first bytes rather than its name."""
    with path.open("rb") as file:
        magic = file.read(6)
    if magic.startswith(b"\xfd7zXZ"):
        return lzma.LZMAFile(cast(IO[bytes], raw))
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=cast(IO[bytes], raw))
    if magic.startswith(b"BZh"):
        return bz2.BZ2File(cast(IO[bytes], raw))
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        return zstandard.ZstdDecompressor().stream_reader(cast(IO[bytes], raw), closefd=False)
    return contextlib.nullcontext(raw)


def _around(first: str, folder: bool) -> str:
    """The folder around the tree, with its slash, by the archive's first member; or ""."""
    top, slash, _ = first.partition("/")
    if top in TOP or not (slash or folder):
        return ""
    return f"{top}/"


def release_of(makefile: bytes) -> str:
    """What ``make kernelversion`` prints: 6.1.192, 6.13.0-rc2. Raises ValueError if it does not
    say."""
    found: dict[str, str] = {
        name.decode(): value.decode("utf-8", "replace").strip()
        for name, value in re.findall(
            rb"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(.*)$", makefile, re.M
        )
    }
    if not {"VERSION", "PATCHLEVEL"} <= found.keys():
        raise ValueError("no VERSION and PATCHLEVEL")
    parts = [found["VERSION"], found["PATCHLEVEL"], found.get("SUBLEVEL") or "0"]
    return ".".join(parts) + found.get("EXTRAVERSION", "")
