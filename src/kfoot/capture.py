"""The capture folder: one recording on disk, with everything needed to derive the result again.

``NAME.kfoot/`` holds ``manifest.json`` (who, what, when, with which losses, sha256 of every raw
file), ``raw/`` (the collectors' own output, compressed when closed), ``system/`` (state before,
during, after) and what is derived from them and can be deleted: ``tables/``, ``footprint.json``.
Files are written beside and renamed, so a crash leaves the old file or the new one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import time
import weakref
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kfoot.errors import InputError, KfootError
from kfoot.packing import is_packed, pack

SCHEMA = 1
SUFFIX = ".kfoot"
MANIFEST = "manifest.json"
SMALL = 4096
"""Raw files below this many bytes are not worth compressing."""
LARGE = 32 << 20
"""Raw files of this many bytes and more stay readable unpacked until they have been read."""
_MOST_KEPT = 256
"""Files kept open for that: a process may have a thousand (RLIMIT_NOFILE)."""


@dataclass(slots=True)
class CollectorEntry:
    """One collector's part of the manifest."""

    name: str
    version: str | None
    options: dict[str, Any] = field(default_factory=dict)
    format: str = ""
    files: list[str] = field(default_factory=list)
    """Names in ``raw/``, as they are on disk (with .zst once closed)."""


@dataclass(slots=True)
class Manifest:
    """manifest.json. Times are seconds since the epoch; None is "not measured"."""

    schema: int = SCHEMA
    kind: str = "run"
    """run, watch or import."""
    use_case: str | None = None
    argv: list[str] = field(default_factory=list)
    cwd: str | None = None
    exit_status: int | None = None
    signal: str | None = None
    started: float | None = None
    ended: float | None = None
    target: str = "local"
    release: str | None = None
    build: str | None = None
    """``uname -v``."""
    arch: str | None = None
    """Machine as uname says (x86_64, aarch64)."""
    abis: list[str] = field(default_factory=list)
    config_sha256: str | None = None
    collectors: list[CollectorEntry] = field(default_factory=list)
    not_recorded: list[str] = field(default_factory=list)
    """What was left out and why, in words for a person."""
    window: dict[str, float | None] = field(default_factory=dict)
    """from_s, to_s, trimmed_s, on the trace's own clock."""
    losses: list[dict[str, Any]] = field(default_factory=list)
    """{kind, where, count}; count null = happened, not known how often."""
    sha256: dict[str, str] = field(default_factory=dict)
    closed: bool = False
    kfoot: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def write_json(path: Path, value: object) -> None:
    """Write beside and rename; keys sorted, one newline at the end. Bytes of a name that are not
    UTF-8 become JSON escapes, which read back as the same name."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write beside and rename."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise KfootError(f"cannot write {path}: {error.strerror}") from error


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Capture:
    """A capture folder, new or opened."""

    def __init__(self, path: Path, manifest: Manifest):
        self.path = path
        self.manifest = manifest
        self.plain: dict[Path, Path] = {}
        """Packed raw files, and where the same is to be had unpacked: after ``close``, in this
        process, until ``forget_plain``."""
        self._kept = ExitStack()
        weakref.finalize(self, self._kept.close)

    @property
    def raw(self) -> Path:
        return self.path / "raw"

    @property
    def system(self) -> Path:
        return self.path / "system"

    @property
    def tables(self) -> Path:
        return self.path / "tables"

    @property
    def footprint_file(self) -> Path:
        return self.path / "footprint.json"

    @classmethod
    def create(cls, path: Path | None, manifest: Manifest, *, name: str = "capture") -> Capture:
        """A new folder; without ``path`` one in the current directory named after ``name`` and
        the time. Raises KfootError when it exists or cannot be made."""
        if path is None:
            path = fresh_name(Path.cwd(), name)
        elif path.suffix != SUFFIX:
            path = path.with_name(path.name + SUFFIX)
        try:
            path.mkdir(parents=True)
            (path / "raw").mkdir()
            (path / "system").mkdir()
        except FileExistsError:
            raise KfootError(
                f"{path} is there already", hint="give another name with -o, or remove it"
            ) from None
        except OSError as error:
            raise KfootError(f"cannot make {path}: {error.strerror}") from error
        capture = cls(path, manifest)
        capture.save()
        return capture

    @classmethod
    def open(cls, path: Path | str) -> Capture:
        """Open an existing capture. Raises InputError when it is none or its manifest is broken."""
        path = Path(path)
        file = path / MANIFEST
        try:
            data = json.loads(file.read_bytes())
        except FileNotFoundError:
            raise InputError(
                path,
                "is not a capture folder",
                expected=f"a {MANIFEST} in it",
                hint="`kfoot run -- CMD` makes one, `kfoot import FILE` too",
            ) from None
        except NotADirectoryError:
            raise InputError(
                path,
                "is a file, not a capture folder",
                hint=f"`kfoot import {path}` makes a capture of a trace",
            ) from None
        except (ValueError, OSError) as error:
            raise InputError(file, str(error), expected="a JSON object") from None
        return cls(path, _manifest(data, file))

    def save(self) -> None:
        """Write the manifest."""
        write_json(self.path / MANIFEST, asdict(self.manifest))

    def lose(self, kind: str, where: str, count: int | None = None) -> None:
        """Note a loss in the manifest (not yet saved)."""
        self.manifest.losses.append({"kind": kind, "where": where, "count": count})

    def raw_files(self, entry: CollectorEntry) -> list[Path]:
        """The collector's raw files on disk."""
        return [self.raw / name for name in entry.files]

    def close(self) -> None:
        """Compress the raw files, note their sha256, save the manifest as closed."""
        for entry in self.manifest.collectors:
            done = []
            for name in entry.files:
                path = self.raw / name
                if path.stat().st_size >= SMALL:
                    path = self._pack(path)
                done.append(path.relative_to(self.raw).as_posix())
            entry.files = done
        self.manifest.sha256 = {
            path.relative_to(self.path).as_posix(): sha256_of(path)
            for folder in (self.raw, self.system)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        self.manifest.closed = True
        self.save()

    def _pack(self, path: Path) -> Path:
        """As ``_packed``. A large file is open before it is removed: to be read it need not be
        unpacked again, which may take longer than all else, and its blocks are still in memory."""
        kept = None
        if path.stat().st_size >= LARGE and len(self.plain) < _MOST_KEPT:
            with suppress(OSError):
                kept = path.open("rb")
        packed = _packed(path)
        if kept is not None:
            self._kept.enter_context(kept)
            if packed != path:
                self.plain[packed] = Path(f"/proc/self/fd/{kept.fileno()}")
        return packed

    def forget_plain(self) -> None:
        """Let go of what was packed: its room on the disk is free then."""
        self.plain.clear()
        self._kept.close()

    def altered(self) -> list[str]:
        """Raw and system files that are missing or differ from the manifest's sha256."""
        return [
            name
            for name, digest in sorted(self.manifest.sha256.items())
            if not (self.path / name).is_file() or sha256_of(self.path / name) != digest
        ]

    def snapshot(self, when: str) -> dict[str, Any] | None:
        """The system's state ``before``, ``during`` or ``after``; None when it was not taken."""
        file = self.system / f"{when}.json"
        if not file.is_file():
            return None
        try:
            value = json.loads(file.read_bytes())
        except ValueError as error:
            raise InputError(file, str(error), expected="a JSON object") from None
        if not isinstance(value, dict):
            raise InputError(file, "is not a snapshot", expected="a JSON object")
        return value

    def write_snapshot(self, when: str, state: Mapping[str, object]) -> None:
        write_json(self.system / f"{when}.json", state)


def _packed(path: Path) -> Path:
    """Pack a file; where the disk has no room for it, leave it as it is. Returns what there is
    then."""
    packed = path.with_name(path.name + ".zst")
    try:
        if is_packed(path):
            return path
        pack(path, packed)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise KfootError(f"cannot compress {path}: {error.strerror}") from error
        return path
    path.unlink()
    return packed


def _manifest(data: object, file: Path) -> Manifest:
    if not isinstance(data, dict) or not isinstance(data.get("schema"), int):
        raise InputError(file, "is not a kfoot manifest", expected='an object with "schema"')
    if data["schema"] > SCHEMA:
        raise InputError(
            file,
            f"has schema {data['schema']}",
            expected=f"at most {SCHEMA}",
            hint="a newer kfoot made it; upgrade",
        )
    known = {name: data[name] for name in Manifest.__slots__ if name in data}
    try:
        known["collectors"] = [CollectorEntry(**entry) for entry in known.get("collectors", [])]
        return Manifest(**known)
    except TypeError as error:
        raise InputError(file, f"collectors: {error}") from None


def fresh_name(folder: Path, word: str, at: float | None = None) -> Path:
    """A capture path in ``folder`` named after a word and the time, not taken yet."""
    word = re.sub(r"[^\w.+-]+", "_", Path(word).name)[:40].strip("._") or "capture"
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(at))
    for tail in ("", *(f"-{n}" for n in range(2, 1000))):
        path = folder / f"{word}-{stamp}{tail}{SUFFIX}"
        if not path.exists():
            return path
    raise KfootError(f"no free name for a capture of {word} in {folder}")


def newest(folder: Path) -> Path:
    """The newest capture in ``folder``. Raises KfootError when there is none."""
    found = captures(folder.iterdir())
    if not found:
        raise KfootError(
            f"there is no capture in {folder}", hint="make one with `kfoot run -- CMD`, or name one"
        )
    return max(found, key=lambda path: ((path / MANIFEST).stat().st_mtime_ns, path.name))


def captures(paths: Iterable[Path]) -> list[Path]:
    """Those of ``paths`` that are capture folders."""
    return [path for path in paths if (path / MANIFEST).is_file()]
