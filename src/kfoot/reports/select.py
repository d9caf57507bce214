"""Part of a footprint: the rows of a section, an area or a process."""

from __future__ import annotations

from collections.abc import Iterable

from kfoot.errors import KfootError
from kfoot.reports.tables import Footprint, Row

_PLACED = ("syscalls", "ioctls", "objects", "events", "functions", "modules")


def within(area: str | None, wanted: str) -> bool:
    """Whether ``area`` is ``wanted`` or a part of it ("drivers:spi" is within "drivers")."""
    return area is not None and (area == wanted or area.startswith(f"{wanted}:"))


def select(
    footprint: Footprint, *, section: str | None = None, area: str | None = None
) -> Footprint:
    """The same footprint with only the rows of ``section`` (its name, any case) and ``area``.

    Rows that carry no place (processes, unmapped, changes) and the evidence stay as they are: a
    filter must not hide a loss. Raises KfootError when the footprint has no such section or area.
    """
    if section is None and area is None:
        return footprint
    _known("section", section, (row.get("name") for row in footprint.get("sections") or ()))
    names = [row.get("area") for row in footprint.get("sections") or ()]
    names += [row.get("name") for row in footprint.get("areas") or ()]
    if area is not None and not any(within(name, area) for name in names):
        _known("area", area, names)
    chosen = dict(footprint)
    for key in _PLACED:
        chosen[key] = [
            row
            for row in footprint.get(key) or ()
            if _matches(row.get("section"), row.get("area"), section, area)
        ]
    sections = [
        row
        for row in footprint.get("sections") or ()
        if _matches(row.get("name"), row.get("area"), section, area)
    ]
    chosen["sections"] = sections
    chosen["areas"] = [row for row in footprint.get("areas") or () if _area_of(row, sections, area)]
    return chosen


def _matches(name: str | None, place: str | None, section: str | None, area: str | None) -> bool:
    if section is not None and (name is None or name.casefold() != section.casefold()):
        return False
    return area is None or within(place, area)


def _area_of(row: Row, sections: Iterable[Row], area: str | None) -> bool:
    name = row.get("name")
    if area is not None and not within(name, area):
        return False
    return any(found.get("area") == name for found in sections)


def _known(what: str, wanted: str | None, names: Iterable[str | None]) -> None:
    there = sorted({name for name in names if name})
    if wanted is None or wanted.casefold() in {name.casefold() for name in there}:
        return
    import difflib

    close = [name for name in there if wanted.casefold() in name.casefold()][:5]
    close = close or difflib.get_close_matches(wanted, there, 3, 0.4)
    raise KfootError(
        f"the footprint has no {what} {wanted!r}",
        hint=f"close to it: {', '.join(close)}"
        if close
        else f"`kfoot show --csv {what}s` lists them",
    )
