"""Several footprints as one: the replicates of a use case, or the use cases of a product.

Counts are added. With more than one footprint every row says in how many it was ``seen``: what
was seen in all is what the use case always needs, what was seen in some depends on circumstances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kfoot.errors import KfootError
from kfoot.footprint.contract import SCHEMA, TABLES, Footprint, Row

_KEYS: dict[str, tuple[str, ...]] = {
    "areas": ("name",),
    "sections": ("name", "area"),
    "syscalls": ("abi", "name"),
    "ioctls": ("object", "driver", "request", "name"),
    "objects": ("kind", "name"),
    "events": ("system", "name"),
    "functions": ("name",),
    "modules": ("name",),
    "config": ("option",),
    "changes": ("what", "name"),
    "unmapped": ("kind", "name"),
}
"""The natural key of each table's rows."""

_KEEP = (
    "nr",
    "file",
    "section",
    "area",
    "how",
    "driver",
    "value",
    "config",
    "before",
    "during",
    "after",
)
"""Columns that describe a row rather than count it: the first footprint that knows is believed."""


def merge(footprints: Sequence[Footprint]) -> Footprint:
    """Merge footprints of the same machine type. Raises KfootError when there is none."""
    if not footprints:
        raise KfootError("there is nothing to merge", hint="name at least one capture")
    if len(footprints) == 1:
        return footprints[0]
    first = footprints[0]
    merged: Footprint = {
        "schema": SCHEMA,
        "use_case": _join([print_["use_case"] for print_ in footprints]),
        "workload": {
            "argv": first["workload"]["argv"] if _same(footprints, "workload", "argv") else [],
            "exit_status": _one([print_["workload"]["exit_status"] for print_ in footprints]),
            "signal": _one([print_["workload"].get("signal") for print_ in footprints]),
            "started": min(
                (
                    print_["workload"]["started"]
                    for print_ in footprints
                    if print_["workload"]["started"] is not None
                ),
                default=None,
            ),
            "duration_s": _sum([print_["workload"]["duration_s"] for print_ in footprints]),
        },
        "environment": {
            key: _one([print_["environment"].get(key) for print_ in footprints])
            for key in first["environment"]
        },
        "evidence": _evidence(footprints),
        "capture": {
            "kind": "merged",
            "watched": _one([print_["capture"].get("watched") for print_ in footprints]),
            "replicates": sum(print_["capture"]["replicates"] for print_ in footprints),
            "not_recorded": sorted(
                {note for print_ in footprints for note in print_["capture"]["not_recorded"]}
            ),
            "raw_sha256": {},
            "kfoot": first["capture"]["kfoot"],
        },
        "processes": _processes([print_["processes"] for print_ in footprints]),
    }
    merged["environment"]["abis"] = sorted(
        {abi for print_ in footprints for abi in print_["environment"]["abis"]}
    )
    for table, key in _KEYS.items():
        merged[table] = _rows([print_.get(table, []) for print_ in footprints], key, TABLES[table])
    return merged


def _rows(tables: Sequence[list[Row]], key: tuple[str, ...], columns: tuple[str, ...]) -> list[Row]:
    found: dict[tuple[Any, ...], Row] = {}
    for rows in tables:
        for row in rows:
            ident = tuple(row.get(column) for column in key)
            seen = row.get("seen", 1)
            if ident not in found:
                found[ident] = {column: row.get(column) for column in columns} | {"seen": seen}
                continue
            whole = found[ident]
            whole["seen"] += seen
            for column in columns:
                if column not in key:
                    whole[column] = _add(column, whole[column], row.get(column))
    return [found[ident] for ident in sorted(found, key=lambda i: tuple(str(p or "") for p in i))]


def _add(column: str, a: Any, b: Any) -> Any:
    if column in _KEEP:
        return b if a is None else a
    if column == "reasons":
        return sorted(set(a or []) | set(b or []))
    if isinstance(a, dict) or isinstance(b, dict):
        a, b = a or {}, b or {}
        return {name: a.get(name, 0) + b.get(name, 0) for name in sorted({*a, *b})}
    return _sum([a, b])


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    total = sum(known)
    return round(total, 3) if isinstance(total, float) else total


def _one(values: Sequence[Any]) -> Any:
    """The value all agree on, else the sorted list of the values there are."""
    different: list[Any] = []
    for value in values:
        if value not in different:
            different.append(value)
    return different[0] if len(different) == 1 else sorted(different, key=str)


def _same(footprints: Sequence[Footprint], part: str, key: str) -> bool:
    return all(print_[part][key] == footprints[0][part][key] for print_ in footprints)


def _join(use_cases: Sequence[str | None]) -> str | None:
    known = list(dict.fromkeys(name for name in use_cases if name))
    return " + ".join(known) if known else None


def _evidence(footprints: Sequence[Footprint]) -> dict[str, Any]:
    collectors: list[Row] = []
    for print_ in footprints:
        for row in print_["evidence"]["collectors"]:
            if row not in collectors:
                collectors.append(row)
    losses: dict[tuple[str, str], Row] = {}
    for print_ in footprints:
        for row in print_["evidence"]["losses"]:
            where = f"{print_['use_case']}: {row['where']}" if print_["use_case"] else row["where"]
            losses.setdefault((row["kind"], where), {**row, "where": where})
    return {
        "collectors": collectors,
        "window": {},
        "losses": [losses[key] for key in sorted(losses)],
        "checks": [],
        "notes": sorted({note for p in footprints for note in p["evidence"].get("notes", [])}),
        "foreign_events": _sum([p["evidence"].get("foreign_events") for p in footprints]),
        "altered": sorted(
            {name for print_ in footprints for name in print_["evidence"].get("altered", [])}
        ),
        "valid": all(print_["evidence"]["valid"] for print_ in footprints),
    }


def _processes(tables: Sequence[list[Row]]) -> list[Row]:
    """The process trees of all footprints folded into one, numbered anew."""
    paths: dict[tuple[tuple[str, ...], ...], Row] = {}
    for rows in tables:
        where: dict[int, tuple[tuple[str, ...], ...]] = {}
        for row in rows:
            above = where[row["parent"]] if row["parent"] is not None else ()
            path = (*above, (row["exe"] or "", *row["argv"]))
            where[row["id"]] = path
            whole = paths.setdefault(
                path, {"exe": row["exe"], "argv": row["argv"], "instances": 0, "calls": 0}
            )
            whole["instances"] += row["instances"]
            whole["calls"] += row["calls"]
    order = sorted(paths)
    number = {path: index for index, path in enumerate(order)}
    return [{"id": number[path], "parent": number.get(path[:-1]), **paths[path]} for path in order]
