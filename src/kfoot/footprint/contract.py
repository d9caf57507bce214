"""footprint.json, schema 1: its keys, its order, and how it is written and read.

A footprint is a plain dictionary so that it survives JSON unchanged. It holds no pids and no
times except in ``workload``; lists are sorted by their natural key, and every row stands on a line
of its own, so that a version-control diff of two footprints can be read. Numbers that no collector
measured are None.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kfoot.capture import write_bytes
from kfoot.errors import InputError
from kfoot.footprint.check import check

SCHEMA = 1
Footprint = dict[str, Any]
Row = dict[str, Any]

TIERS = ("entered", "dispatched", "traced", "executed")
"""Weakest first; see docs/footprint.md."""

TABLES: dict[str, tuple[str, ...]] = {
    "areas": ("name", *TIERS),
    "sections": ("name", "area", *TIERS),
    "syscalls": (
        "abi",
        "name",
        "nr",
        "calls",
        "errors",
        "errnos",
        "unfinished",
        "time_us",
        "file",
        "section",
        "area",
    ),
    "ioctls": (
        "object",
        "driver",
        "request",
        "name",
        "calls",
        "errors",
        "errnos",
        "file",
        "section",
        "area",
    ),
    "objects": ("kind", "name", "driver", "operations", "file", "section", "area", "how"),
    "events": ("system", "name", "count", "in_interrupt", "file", "section", "area"),
    "functions": ("name", "count", "file", "section", "area"),
    "modules": ("name", "before", "during", "after", "config", "section", "area"),
    "config": ("option", "value", "reasons"),
    "processes": ("id", "exe", "argv", "parent", "instances", "calls"),
    "changes": ("what", "name", "before", "after"),
    "unmapped": ("kind", "name", "count"),
}
"""Every table of a footprint with its columns, in the order a person reads them."""


def dumps(footprint: Footprint) -> str:
    """The text of footprint.json: keys sorted, one row of a list a line."""
    parts = []
    for key in sorted(footprint):
        value = footprint[key]
        if isinstance(value, list) and value:
            rows = ",\n  ".join(_line(row) for row in value)
            text = f"[\n  {rows}\n ]"
        elif isinstance(value, dict) and value:
            inner = ",\n  ".join(f"{_line(k)}: {_line(value[k])}" for k in sorted(value))
            text = f"{{\n  {inner}\n }}"
        else:
            text = _line(value)
        parts.append(f" {_line(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _line(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def write(path: Path, footprint: Footprint) -> None:
    """Write footprint.json beside and rename. Names that are not UTF-8 are written escaped."""
    write_bytes(path, dumps(footprint).encode("utf-8", "backslashreplace"))


def read(path: Path) -> Footprint:
    """Read a footprint.json. Raises InputError when it is none."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(path, "is not there", expected="a footprint.json") from None
    except (OSError, ValueError) as error:
        raise InputError(path, str(error), expected="a JSON object") from None
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise InputError(path, "is not a footprint", expected=f'"schema": {SCHEMA}')
    check(value, TABLES, path)
    return value
