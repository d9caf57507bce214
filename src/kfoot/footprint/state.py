"""The tables that come from the system's state: modules, options, and what the workload changed."""

from __future__ import annotations

from kfoot.atlas.model import Atlas
from kfoot.collect.snapshot import diff
from kfoot.footprint.contract import Row
from kfoot.footprint.system import State, System
from kfoot.footprint.tiers import Tiers

REASONS = 8
"""Reasons listed for one option; the rest are counted."""


def modules(system: System, atlas: Atlas) -> list[Row]:
    """Every module with its use counts before, during and after; None = not loaded. Empty when
    the host has no modules or no snapshot was taken (``capture.not_recorded`` says which)."""
    states = [_use_counts(state) for state in (system.before, system.during, system.after)]
    rows = []
    for name in sorted(set().union(*states)):
        known = atlas.module(name)
        rows.append(
            {
                "name": name,
                **{
                    when: counts.get(name)
                    for when, counts in zip(("before", "during", "after"), states, strict=True)
                },
                "config": list(known.config) if known else [],
                "section": known.place.section if known else None,
                "area": known.place.area if known else None,
            }
        )
    return rows


def _use_counts(state: State | None) -> dict[str, int]:
    listed = (state or {}).get("modules") or {}
    return {name: row["uses"] for name, row in listed.items()}


def config(system: System, atlas: Atlas, tiers: Tiers) -> list[Row]:
    """The options without which a source file the workload was seen to use is not built: the
    file is necessary, whether each line in it is cannot be told from here."""
    reasons: dict[str, list[str]] = {}
    for path, why in sorted(tiers.files.items()):
        row = atlas.file(path)
        for option in row.config if row else ():
            reasons.setdefault(option, []).extend(sorted(why))
    rows = []
    for option in sorted(reasons):
        every = sorted(set(reasons[option]))
        listed = every[:REASONS]
        if len(every) > REASONS:
            listed.append(f"and {len(every) - REASONS} more")
        value = None
        if system.config is not None:
            value = system.config.get(option.lstrip("!"), "n")
        rows.append({"option": option, "value": value, "reasons": listed})
    return rows


WRITES = frozenset(("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "splice"))
"""System calls that change what a file of /proc/sys or /sys stands for."""


def written(objects: list[Row]) -> list[Row]:
    """Files of /sys and /proc/sys that the workload wrote to. What stood there is only known for
    sysctls, from the state before and after; a value written is not recorded."""
    return [
        {"what": "written", "name": row["name"], "before": None, "after": None}
        for row in objects
        if row["driver"] in ("sysfs", "proc")
        and row["name"].startswith(("/sys/", "/proc/sys/"))
        and WRITES & set(row["operations"])
    ]


def changes(system: System) -> list[Row]:
    """What differs between the state before and after: sysctls, mounts, modules."""
    if system.before is None or system.after is None:
        return []
    found = diff(system.before, system.after)
    rows: list[Row] = [
        {"what": "sysctl", "name": row["name"], "before": row["before"], "after": row["after"]}
        for row in found["sysctl"]
    ]
    for row in found["mounts"]:
        now = row["fstype"] if row["change"] == "mounted" else None
        was = None if row["change"] == "mounted" else row["fstype"]
        rows.append({"what": "mount", "name": row["point"], "before": was, "after": now})
    rows.extend(
        {"what": "module", "name": row["name"], "before": row["before"], "after": row["after"]}
        for row in found["modules"]
        if row["before"] is None or row["after"] is None
    )
    return sorted(rows, key=lambda row: (row["what"], row["name"]))
