"""What differs between two atlases, table by table."""

from __future__ import annotations

from typing import Any, NamedTuple

from kfoot.atlas.schema import TABLES
from kfoot.atlas.store import AtlasFile

IDENTITY = {
    # Columns that say which row is meant; the others may change.
    "files": ("path",),
    "sections": ("name",),
    "syscalls": ("abi", "name"),
    "events": ("system", "name"),
    "functions": ("name",),
    "ioctls": ("name", "abi"),
    "ioctl_handlers": ("name", "file"),
    "filesystems": ("name",),
    "anon_inodes": ("name",),
    "sockets": ("family", "type", "protocol"),
    "devices": ("name", "kind", "major", "minor"),
    "modules": ("name",),
    "kconfig": ("name",),
    "features": ("feature", "arch"),
    "missing_syscalls": ("abi", "name"),
}
"""``builds`` is left out: what it says is in ``files`` as far as it is certain."""

Key = tuple[Any, ...]


class TableDifference(NamedTuple):
    table: str
    before: int
    after: int
    """Rows."""
    added: list[Key]
    removed: list[Key]
    changed: list[tuple[Key, dict[str, tuple[Any, Any]]]]
    """The row's identity, and by column what it was and is."""


def diff(before: AtlasFile, after: AtlasFile) -> list[TableDifference]:
    """The tables in which two atlases differ."""
    found = (_table(name, before, after) for name in sorted(IDENTITY))
    return [table for table in found if table.added or table.removed or table.changed]


def _table(name: str, before: AtlasFile, after: AtlasFile) -> TableDifference:
    old, new = _by_identity(name, before), _by_identity(name, after)
    columns = [column.name for column in TABLES[name].columns]
    changed = []
    for key in sorted(old.keys() & new.keys(), key=str):
        if old[key] == new[key]:
            continue
        values: dict[str, tuple[Any, Any]] = {}
        for index, column in enumerate(columns):
            was = tuple(row[index] for row in old[key])
            now = tuple(row[index] for row in new[key])
            if was != now:
                values[column] = (_single(was), _single(now))
        changed.append((key, values))
    return TableDifference(
        name,
        len(before[name]),
        len(after[name]),
        sorted(new.keys() - old.keys(), key=str),
        sorted(old.keys() - new.keys(), key=str),
        changed,
    )


def _by_identity(name: str, atlas: AtlasFile) -> dict[Key, list[tuple[Any, ...]]]:
    table = atlas[name]
    wanted = [table.names.index(column) for column in IDENTITY[name]]
    out: dict[Key, list[tuple[Any, ...]]] = {}
    for row in table:
        out.setdefault(tuple(row[index] for index in wanted), []).append(row)
    return out


def _single(values: tuple[Any, ...]) -> Any:
    """The value itself when there is one row of the name, else the list."""
    return values[0] if len(values) == 1 else list(values)
