"""The table of trace events, interrupt context apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from kfoot.atlas.model import NOWHERE, Place
from kfoot.footprint.contract import Row
from kfoot.footprint.names import Names
from kfoot.footprint.tiers import Tiers
from kfoot.footprint.workload import Own
from kfoot.readers.reading import EventKey, Reading

_SYSCALL_EVENT = ("sys_enter_", "sys_exit_")
_ENTRY = ("syscalls", "raw_syscalls")
"""They say that a call was entered, which the entered tier has counted already."""


def tabulate(
    readings: Iterable[tuple[Reading, Own]], names: Names, tiers: Tiers
) -> tuple[list[Row], int]:
    """The rows of ``events``, and how many events were of other tasks and not counted.

    ``in_interrupt`` is None where the trace did not say the context; an interrupt that hit the
    workload's task is not evidence that the workload used it, so only events in task context feed
    the traced tier.
    """
    found: dict[tuple[str | None, str], Counter[str]] = defaultdict(Counter)
    places: dict[tuple[str | None, str], Place] = {}
    foreign = 0
    for reading, own in readings:
        tiers.measured("traced")
        for key, by_process in reading.events.items():
            others = sum(count for at, count in by_process.items() if not own.ran(at))
            count = sum(by_process.values()) - others
            foreign += others
            if not count:
                continue
            system, place = _find(key, names, reading)
            places[system, key.name] = place
            context = key.context if key.context in ("task", "unknown") else "interrupt"
            found[system, key.name][context] += count
    rows = []
    for (system, name), counts in sorted(
        found.items(), key=lambda item: (item[0][0] or "", item[0][1])
    ):
        place = places[system, name]
        in_task = counts["task"] + counts["unknown"]
        label = f"{system or '?'}:{name}"
        if in_task and (system not in _ENTRY or place.area is None):
            tiers.add("traced", place, in_task, "event", label)
        elif place.area is None:
            tiers.miss("event", label, counts["interrupt"])
        rows.append(
            {
                "system": system,
                "name": name,
                "count": in_task,
                "in_interrupt": None if counts["unknown"] else counts["interrupt"],
                "file": place.file,
                "section": place.section,
                "area": place.area,
            }
        )
    return rows, foreign


def _find(key: EventKey, names: Names, reading: Reading) -> tuple[str | None, Place]:
    """System and place of an event. ftrace text prints no system; where the atlas knows several
    events of that name in different areas, none is guessed."""
    if key.system in ("syscalls", None) and key.name.startswith(_SYSCALL_EVENT):
        abi = names.abi_of_machine(reading)
        row = names.atlas.syscall(abi, key.name.split("_", 2)[2]) if abi else None
        if row is not None:
            return "syscalls", row.place
    rows = names.atlas.event(key.name, key.system)
    if not rows:
        return key.system, NOWHERE
    if key.system is None and len({row.system for row in rows}) > 1:
        same = len({row.place.area for row in rows}) == 1
        return None, rows[0].place if same else NOWHERE
    return key.system or rows[0].system, rows[0].place
