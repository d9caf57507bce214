"""A capture of traces made elsewhere: their files copied into ``raw/``, their formats noted."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from kfoot import __version__, readers
from kfoot.capture import SMALL, Capture, CollectorEntry, Manifest
from kfoot.errors import InputError, KfootError
from kfoot.packing import is_packed, pack
from kfoot.readers.base import Progress


def import_files(
    paths: Sequence[Path],
    *,
    out: Path | None = None,
    arch: str | None = None,
    release: str | None = None,
    use_case: str | None = None,
    progress: Progress | None = None,
) -> Capture:
    """Make a closed capture of trace files, or of the traces in folders.

    ``arch`` (as uname -m says it) and ``release`` say what the traces themselves may not. Raises
    InputError for a file in no known format (then no capture is left), KfootError when the capture
    cannot be written.
    """
    groups = readers.groups(paths)
    manifest = Manifest(
        kind="import",
        use_case=use_case,
        arch=arch,
        release=release,
        target="imported",
        kfoot=__version__,
    )
    manifest.extra["imported"] = {"at": round(time.time(), 3), "from": [str(p) for p in paths]}
    capture = Capture.create(out, manifest, name=_word(paths[0]))
    try:
        for number, (name, members) in enumerate(groups):
            folder = capture.raw if len(groups) == 1 else capture.raw / str(number)
            files = _copy(members, folder, progress, beside=name == "ftrace-pages")
            manifest.collectors.append(
                CollectorEntry(
                    name=name,
                    version=None,
                    format=name,
                    files=[path.relative_to(capture.raw).as_posix() for path in files],
                )
            )
        capture.close()
    except BaseException:
        shutil.rmtree(capture.path, ignore_errors=True)
        raise
    return capture


def _copy(
    members: Sequence[Path], folder: Path, progress: Progress | None, *, beside: bool
) -> list[Path]:
    """Copy a group's files; ``beside``: also what lies beside them and describes them. Gives what
    stands for ``members`` in ``folder``."""
    top = members[0].parent
    wanted = dict.fromkeys(members, True)
    if beside:
        others = (path for path in sorted(top.rglob("*")) if path.is_file())
        wanted = dict.fromkeys(others, False) | wanted
    taken: set[Path] = set()
    copied = []
    try:
        for path, is_member in wanted.items():
            inside = path.relative_to(top) if path.is_relative_to(top) else Path(path.name)
            if inside in taken:
                raise InputError(path, "has the name of another file of the same trace")
            taken.add(inside)
            target = folder / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            if is_member:
                copied.append(_keep(path, target, progress))
            else:
                shutil.copyfile(path, target)
    except OSError as error:
        raise KfootError(f"cannot copy {error.filename or top}: {error.strerror}") from error
    return copied


def _keep(path: Path, target: Path, progress: Progress | None) -> Path:
    """Copy a file, packed unless it is small or packed already."""
    if path.stat().st_size < SMALL or is_packed(path):
        shutil.copyfile(path, target)
        return target
    packed = target.with_name(target.name + ".zst")
    pack(path, packed, progress)
    return packed


def _word(path: Path) -> str:
    """The word a capture without a name of its own is named after."""
    return path.name.split(".")[0] or path.resolve().name
