"""The tables of a footprint: their columns, their order, and how each cell is worded.

One definition for Markdown, RST, CSV and HTML, so that they cannot differ in content. A cell that
is null in the footprint stays distinguishable from 0 and from "" in every format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kfoot.errors import KfootError
from kfoot.reports import text

Footprint = Mapping[str, Any]
"""footprint.json as loaded."""
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``kind`` is text, count, pairs (name to number) or list."""

    key: str
    title: str
    kind: str = "text"

    @property
    def numeric(self) -> bool:
        return self.kind == "count"


@dataclass(frozen=True, slots=True)
class Table:
    """One list of the footprint. ``key`` is its name in footprint.json and for ``--csv``."""

    key: str
    title: str
    about: str
    columns: tuple[Column, ...]


_ERRORS = (
    Column("calls", "calls", "count"),
    Column("errors", "errors", "count"),
    Column("errnos", "errnos", "pairs"),
)
_PLACE = (Column("area", "area"), Column("section", "section"), Column("file", "source file"))
_TIERS = tuple(
    Column(tier, tier, "count") for tier in ("entered", "dispatched", "traced", "executed")
)

TABLES = (
    Table(
        "areas",
        "Areas",
        "Coarse groups of kernel subsystems, with the count that evidences each tier.",
        (Column("name", "area"), *_TIERS),
    ),
    Table(
        "sections",
        "Sections",
        "Entries of the kernel's MAINTAINERS file that the workload stood on.",
        (Column("name", "section"), Column("area", "area"), *_TIERS),
    ),
    Table(
        "syscalls",
        "System calls",
        "By ABI and name. Errors are calls that returned an errno.",
        (
            Column("name", "system call"),
            Column("abi", "ABI"),
            Column("nr", "nr", "count"),
            *_ERRORS,
            Column("unfinished", "never returned", "count"),
            Column("time_us", "time, µs", "count"),
            *_PLACE,
        ),
    ),
    Table(
        "ioctls",
        "ioctls",
        "By object and request. A request without a name is not in the atlas.",
        (
            Column("name", "request"),
            Column("request", "number"),
            Column("object", "object"),
            Column("driver", "driver"),
            *_ERRORS,
            *_PLACE,
        ),
    ),
    Table(
        "objects",
        "Objects",
        "Files, devices, sockets and anonymous inodes, with the calls that acted on them.",
        (
            Column("name", "object"),
            Column("kind", "kind"),
            Column("driver", "driver"),
            Column("operations", "operations", "pairs"),
            *_PLACE,
            Column("how", "known by"),
        ),
    ),
    Table(
        "events",
        "Trace events",
        "Events in hard or soft interrupt context are counted apart: they are not the workload's.",
        (
            Column("name", "event"),
            Column("system", "system"),
            Column("count", "count", "count"),
            Column("in_interrupt", "of them in interrupt", "count"),
            *_PLACE,
        ),
    ),
    Table(
        "functions",
        "Kernel functions",
        "Functions that ran.",
        (Column("name", "function"), Column("count", "count", "count"), *_PLACE),
    ),
    Table(
        "modules",
        "Modules",
        "Use counts before, during and after; – is not loaded.",
        (
            Column("name", "module"),
            Column("before", "before", "count"),
            Column("during", "during", "count"),
            Column("after", "after", "count"),
            Column("config", "options", "list"),
            Column("area", "area"),
            Column("section", "section"),
        ),
    ),
    Table(
        "config",
        "Configuration options",
        "Options that what was used depends on, and their value on that machine.",
        (
            Column("option", "option"),
            Column("value", "value"),
            Column("reasons", "because of", "list"),
        ),
    ),
    Table(
        "changes",
        "Changes to the system",
        "What was different after the workload: sysctls, sysfs attributes, mounts, modules.",
        (
            Column("what", "what"),
            Column("name", "name"),
            Column("before", "before"),
            Column("after", "after"),
        ),
    ),
    Table(
        "processes",
        "Processes",
        "Who ran what; equal children of one parent are one row.",
        (
            Column("id", "id", "count"),
            Column("parent", "parent", "count"),
            Column("exe", "executable"),
            Column("argv", "command line", "argv"),
            Column("instances", "instances", "count"),
            Column("calls", "calls", "count"),
        ),
    ),
    Table(
        "unmapped",
        "Unmapped",
        "Seen, but not found in the atlas: shown, never guessed.",
        (Column("kind", "kind"), Column("name", "name"), Column("count", "count", "count")),
    ),
)


_SEEN = Column("seen", "seen in captures", "count")


def columns(footprint: Footprint, table: Table) -> tuple[Column, ...]:
    """The table's columns; in a merged footprint also in how many captures a row was seen."""
    if any("seen" in row for row in rows(footprint, table.key)):
        return (*table.columns, _SEEN)
    return table.columns


def table(key: str) -> Table:
    """The table named ``key``. Raises KfootError naming those there are."""
    for found in TABLES:
        if found.key == key:
            return found
    names = ", ".join(found.key for found in TABLES)
    raise KfootError(f"there is no table {key!r}", hint=f"tables: {names}")


def cell(row: Row, column: Column) -> str:
    """One cell as text for people, cleaned of control characters; null is "–"."""
    value = row.get(column.key)
    if column.kind == "pairs":
        return text.pairs(value)
    if column.kind == "list":
        return text.listed(value or ())
    if column.kind == "argv":
        return text.command(value)
    if value is None:
        return text.NOT_MEASURED
    if (
        column.kind == "count"
        and isinstance(value, int)
        and column.key not in ("nr", "id", "parent")
    ):
        return text.count(value)
    return text.clean(value)


def rows(footprint: Footprint, key: str) -> list[Row]:
    """The footprint's list ``key``; empty where an older or partial footprint has none."""
    return list(footprint.get(key) or ())
