"""Choosing among functions of the same name: by architecture, configuration, and neighbourhood.

A kernel image is linked object by object, so a static ``init`` lies between functions of its own
file. Names that only one built file defines are the landmarks; a name with several candidates
takes the file of the nearest landmark that is one of them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kfoot.atlas.model import Atlas, Function
from kfoot.errors import InputError

REACH = 400
"""How many symbols away a landmark may be; the largest files have about as many functions."""


class Symbol(NamedTuple):
    """A text symbol as /proc/kallsyms has it."""

    address: int
    name: str
    module: str | None = None


def enabled(conditions: Sequence[str], config: Mapping[str, str]) -> bool:
    """Whether options allow a file to be built; ``config`` maps CONFIG_X to "y", "m" or text."""
    for condition in conditions:
        option = condition.removeprefix("!")
        on = config.get(option, "n") != "n"
        if on == condition.startswith("!"):
            return False
    return True


def read_kallsyms(path: Path) -> list[Symbol]:
    """Text symbols of a file as /proc/kallsyms, by address. Raises InputError.

    Without the right to see addresses they are all 0; the file's order is theirs.
    """
    out: list[Symbol] = []
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                words = line.split()
                if len(words) not in (3, 4) or not re.fullmatch(r"[0-9a-fA-F]+", words[0]):
                    raise InputError(
                        path,
                        "is no list of symbols",
                        where=f"line {number}",
                        expected="address, letter, name [module]",
                    )
                if words[1] in "tTwW":
                    module = words[3].strip("[]") if len(words) == 4 else None
                    out.append(Symbol(int(words[0], 16), words[2], module))
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from None
    if out and not any(symbol.address for symbol in out):
        return [symbol._replace(address=place) for place, symbol in enumerate(out, start=1)]
    return sorted(out)


def around(symbols: Sequence[Symbol], name: str) -> tuple[list[Symbol], list[Symbol]]:
    """The symbols of a name (compiler suffixes do not matter), and all that may tell whose they
    are: those within ``REACH`` of one."""
    plain = name.split(".", 1)[0]
    places = [n for n, symbol in enumerate(symbols) if symbol.name.split(".", 1)[0] == plain]
    near = {
        at
        for place in places
        for at in range(max(0, place - REACH), min(len(symbols), place + REACH + 1))
    }
    return [symbols[place] for place in places], [symbols[at] for at in sorted(near)]


class Chooser:
    """Candidates of a name that a kernel of this architecture and configuration can have."""

    def __init__(self, atlas: Atlas, *, arch: str | None, config: Mapping[str, str] | None):
        self._atlas = atlas
        self._own = f"arch/{arch}/" if arch else None
        self._config = config
        self._possible: dict[str, bool] = {}

    def candidates(self, name: str) -> tuple[Function, ...]:
        """Those left; all of them when nothing would be left."""
        found = self._atlas.function(name)
        kept = tuple(one for one in found if one.place.file and self._built(one.place.file))
        return kept or found

    def _built(self, path: str) -> bool:
        known = self._possible.get(path)
        if known is None:
            known = self._possible[path] = self._may_be_built(path)
        return known

    def _may_be_built(self, path: str) -> bool:
        if self._own and path.startswith("arch/") and not path.startswith(self._own):
            return False
        if self._config is None or path.endswith(".h"):
            return True
        file = self._atlas.file(path)
        return file is None or enabled(file.config, self._config)


def choose(
    atlas: Atlas,
    symbols: Sequence[Symbol],
    *,
    arch: str | None = None,
    config: Mapping[str, str] | None = None,
) -> dict[Symbol, Function | None]:
    """The likeliest function of each symbol; None where the sources have no such name.

    ``arch`` is a folder below arch/. Symbols of a module choose among its files first.
    """
    chooser = Chooser(atlas, arch=arch, config=config)
    found = {symbol: chooser.candidates(symbol.name) for symbol in symbols}
    order = sorted(symbols)
    landmarks: dict[str | None, list[tuple[int, str]]] = {}
    for place, symbol in enumerate(order):
        files = {one.place.file for one in found[symbol]}
        only = next(iter(files)) if len(files) == 1 else None
        if only and not only.endswith(".h"):
            landmarks.setdefault(symbol.module, []).append((place, only))
    out: dict[Symbol, Function | None] = {}
    for place, symbol in enumerate(order):
        options = found[symbol]
        if symbol.module and len(options) > 1:
            module = atlas.module(symbol.module)
            files = set(module.files) if module else set()
            options = tuple(one for one in options if one.place.file in files) or options
        if len(options) < 2:
            out[symbol] = options[0] if options else None
        else:
            near = _nearest(landmarks.get(symbol.module, []), place, options)
            out[symbol] = near or min(options, key=_plausible)
    return out


def _nearest(
    landmarks: Sequence[tuple[int, str]], place: int, options: Sequence[Function]
) -> Function | None:
    """The option whose file the nearest landmark is in."""
    files = {one.place.file: one for one in options}
    after = bisect_left(landmarks, (place, ""))
    before = after - 1
    while True:
        left = place - landmarks[before][0] if before >= 0 else REACH + 1
        right = landmarks[after][0] - place if after < len(landmarks) else REACH + 1
        if min(left, right) > REACH:
            return None
        if left <= right:
            file = landmarks[before][1]
            before -= 1
        else:
            file = landmarks[after][1]
            after += 1
        if file in files:
            return files[file]


def _plausible(one: Function) -> tuple[int, bool, bool, str]:
    """Without a landmark: a function others can call before a header's inline copy (often a stub
    for where the option is off), that before a stranger's static; drivers last."""
    path = one.place.file or ""
    rank = 1 if path.endswith(".h") else 2 if one.static else 0
    return rank, "/staging/" in path, path.startswith("drivers/"), path
