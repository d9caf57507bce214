"""Which of several readings of one run says what.

A run may be recorded by two collectors at once: strace knows arguments, ftrace knows events, and
both counted the system calls. Calls are taken from the reading that knows most about them; the
others' counts are compared with it, and what only they saw becomes a loss of the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kfoot.footprint.names import Names
from kfoot.readers.reading import CallKey, Loss, Reading

RANK = (
    "bpf",
    "strace",
    "perf-script",
    "babeltrace",
    "trace-dat",
    "ftrace-pages",
    "ftrace-text",
    "strace-summary",
)
"""Formats by how much they know of a call, best first."""


@dataclass(frozen=True, slots=True)
class Check:
    """Two recorders' counts of the same calls, side by side."""

    first: str
    second: str
    compared: int
    """System calls compared."""
    equal: int
    differences: tuple[tuple[str, int, int], ...]
    """(name, calls by the first, calls by the second), where they are not equal."""


@dataclass(slots=True)
class Evidence:
    """The readings of one capture, with their parts given out."""

    calls: list[Reading]
    events: list[Reading]
    losses: list[Loss] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)


def combine(readings: Sequence[Reading], names: Names) -> Evidence:
    """Give out the parts: calls from the best format, events from every format that has them."""
    by_format: dict[str, list[Reading]] = {}
    for reading in readings:
        if reading.calls:
            by_format.setdefault(reading.format, []).append(reading)
    order = sorted(by_format, key=lambda name: RANK.index(name) if name in RANK else len(RANK))
    evidence = Evidence(
        calls=by_format[order[0]] if order else [],
        events=[reading for reading in readings if reading.events],
    )
    for other in order[1:]:
        check = compare(order[0], by_format[order[0]], other, by_format[other], names)
        evidence.checks.append(check)
        evidence.losses.extend(
            Loss("missed", f"{check.first}: {name}, seen by {check.second}", second - first)
            for name, first, second in check.differences
            if second > first
        )
    for reading in readings:
        evidence.losses.extend(reading.losses)
        if reading.unparsed:
            evidence.losses.append(Loss("unparsed", reading.source, reading.unparsed))
    return evidence


def compare(
    first: str, ours: Iterable[Reading], second: str, theirs: Iterable[Reading], names: Names
) -> Check:
    """Calls per system call as two recorders counted them."""
    a, b = _totals(ours, names), _totals(theirs, names)
    every = sorted(set(a) | set(b))
    return Check(
        first,
        second,
        len(every),
        sum(a[name] == b[name] for name in every),
        tuple((name, a[name], b[name]) for name in every if a[name] != b[name]),
    )


def _totals(readings: Iterable[Reading], names: Names) -> Counter[str]:
    totals: Counter[str] = Counter()
    for reading in readings:
        for key, count in reading.calls.items():
            totals[_label(key, reading, names)] += count.calls
    return totals


def _label(key: CallKey, reading: Reading, names: Names) -> str:
    call = names.syscall(key, reading)
    return f"{call.abi or '?'}:{call.name}"
