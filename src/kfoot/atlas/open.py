"""Which atlas serves a kernel release, and opening it.

Atlases are shipped with kfoot and kept by the user in ``$XDG_DATA_HOME/kfoot/atlas``. The one for
the same release wins, then the nearest of the same series (6.1.x), then of the nearest series;
a user's own before a shipped one of the same release.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from kfoot.atlas.lookup import AtlasView
from kfoot.atlas.store import SUFFIX, AtlasFile
from kfoot.errors import KfootError

_SERIES = {2: 0, 3: 20, 4: 21, 5: 20, 6: 20}
"""How many minor releases each major release had (3.0 to 3.19, 4.0 to 4.20, ...)."""


class Found(NamedTuple):
    """An atlas on disk."""

    path: Path
    release: str
    shipped: bool


class Choice(NamedTuple):
    """The atlas chosen for a release."""

    found: Found
    why: str
    note: str | None
    """What the reader of a result must know; None when the release is the same."""


def shipped_folder() -> Path:
    """Where kfoot's own atlases lie."""
    return Path(__file__).parent.parent / "data"


def user_folder() -> Path:
    """Where a user's atlases lie."""
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "kfoot" / "atlas"


def atlases() -> list[Found]:
    """Every atlas there is, the user's first, then by release, newest first."""
    out = []
    for folder, shipped in ((user_folder(), False), (shipped_folder(), True)):
        found = [
            Found(path, str(AtlasFile(path).header["release"]), shipped) for path in _files(folder)
        ]
        out += sorted(found, key=lambda atlas: version(atlas.release) or (), reverse=True)
    return out


def _files(folder: Path) -> list[Path]:
    """None where the folder is not there or may not be read: HOME may be another user's."""
    try:
        return sorted(folder / name for name in os.listdir(folder) if name.endswith(SUFFIX))
    except OSError:
        return []


def version(release: str) -> tuple[int, int, int] | None:
    """(6, 1, 192) of "6.1.192" or "6.1.0-26-amd64"; None when it does not begin so."""
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def _place_in_line(major: int, minor: int) -> int:
    """How many series came before this one."""
    return (
        sum(count for number, count in _SERIES.items() if number < major)
        + minor
        + 20 * max(0, major - 1 - max(_SERIES))
    )


def choose(release: str | None, among: list[Found] | None = None) -> Choice:
    """The atlas for a kernel release; without one the newest shipped. Raises KfootError when there
    is none at all."""
    found = atlases() if among is None else among
    if not found:
        raise KfootError(
            "there is no atlas", hint="build one: kfoot atlas build linux-6.12.tar.xz -o FILE"
        )
    wanted = version(release) if release else None
    if wanted is None:
        newest = max(found, key=lambda atlas: (atlas.shipped, version(atlas.release) or ()))
        about = "no kernel release was given" if not release else f"{release} is no release"
        return Choice(newest, f"{about}: the newest atlas", f"{about}; atlas of {newest.release}")

    def distance(atlas: Found) -> tuple[int, int, int, int, bool]:
        own = version(atlas.release) or (0, 0, 0)
        series = _place_in_line(*own[:2]) - _place_in_line(*wanted[:2])
        return abs(series), -series, abs(own[2] - wanted[2]), -own[2], atlas.shipped

    best = min(found, key=distance)
    own = version(best.release) or (0, 0, 0)
    whose = "shipped with kfoot" if best.shipped else "your own"
    if own == wanted:
        return Choice(best, f"same release, {whose}", None)
    if own[:2] == wanted[:2]:
        why = f"nearest of the same series, {whose}"
    else:
        why = f"nearest series, {whose}"
    return Choice(best, why, f"kernel {release}, atlas of {best.release} ({why})")


def open_atlas(release: str | None = None, path: Path | None = None) -> AtlasView:
    """The atlas in ``path``, or the one that fits a kernel ``release`` (as uname -r says) best.

    Raises InputError for a file that is no atlas, KfootError when there is none.
    """
    if path is not None:
        view = AtlasView(AtlasFile(path), why="named by the user")
        if release and version(release) != version(view.name):
            view.note = f"kernel {release}, atlas of {view.name} (named by the user)"
        return view
    choice = choose(release)
    return AtlasView(AtlasFile(choice.found.path), why=choice.why, note=choice.note)
