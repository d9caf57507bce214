"""From counted ring buffer records to a ``Reading``: common to raw pages and trace.dat."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from kfoot.readers import ring_buffer, ring_native
from kfoot.readers.base import Progress
from kfoot.readers.ftrace_tally import Tally, finish
from kfoot.readers.reading import Loss, Reading
from kfoot.readers.ring_buffer import Plan, Stream


def count(streams: Sequence[Stream], plan: Plan, progress: Progress | None = None) -> Tally:
    """Count all records, without those the gate made before its exec."""
    found = list(streams)
    module = ring_native.usable(plan)
    if module is not None:
        # Without room for the unpacked pages the slower way still goes, page by page.
        with contextlib.suppress(OSError):
            return ring_native.scan(module, found, plan, progress)
    if plan.gate is not None:
        plan = replace(plan, gate_from=ring_buffer.gate_from(found, plan))
    return ring_buffer.scan(found, plan)


def reading_of(tally: Tally, plan: Plan, format: str, source: str, arch: str | None) -> Reading:
    """The Reading of counts by event number. An event without a format keeps its number."""

    def describe(event: Hashable) -> tuple[str | None, str]:
        known = plan.formats.get(event) if isinstance(event, int) else None
        return (known.system, known.name) if known else (None, f"event {event}")

    return finish(tally, format=format, source=source, arch=arch, describe=describe)


def losses_of(
    streams: Sequence[Stream], statistics: Mapping[int, Mapping[str, int]], where: str
) -> list[Loss]:
    """Losses by CPU, from the pages themselves and the kernel's statistics of that buffer.

    Both count the records overwritten before they were read; the greater number holds.
    """
    losses: list[Loss] = []
    for stream in streams:
        place = f"{where}/cpu{stream.cpu}"
        damage = stream.damage
        told = dict(statistics.get(stream.cpu, {}))
        overrun = max(told.pop("overrun", 0), damage.missed)
        if overrun:
            losses.append(Loss("overrun", place, overrun))
        elif damage.silent:
            losses.append(Loss("overrun", place, None))
        losses.extend(Loss(kind, place, number) for kind, number in sorted(told.items()))
        if damage.torn:
            losses.append(Loss("truncated", f"{place}: {damage.torn} bytes of a page", None))
        if damage.corrupt:
            losses.append(Loss("corrupt", place, damage.corrupt))
        if damage.disordered:
            losses.append(Loss("disordered", place, damage.disordered))
    return losses
