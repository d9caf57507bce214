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


_MULTIPLEXED = {
    **dict.fromkeys((102, *range(359, 374)), "number 102 or 359-373 (socketcall and its parts)"),
    **dict.fromkeys((117, *range(393, 403)), "number 117 or 393-402 (ipc and its parts)"),
}
"""i386 calls by number that strace names by the part called (socketcall's SYS_BIND as bind), which
may also be a call of its own (arch/x86/entry/syscalls/syscall_32.tbl). x86_64 has none of the
parts' numbers, so only its 102 and 117 are told apart less well."""


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
    """Calls per system call as two recorders counted them.

    ftrace's records do not say which ABI a task has, so where one recorder saw 32-bit tasks and the
    other knows none, calls are compared by number alone.
    """
    ours, theirs = list(ours), list(theirs)
    by_number = _abis(ours, names) != _abis(theirs, names)
    a, b = _totals(ours, names, by_number), _totals(theirs, names, by_number)
    every = sorted(set(a) | set(b))
    return Check(
        first,
        second,
        len(every),
        sum(a[name] == b[name] for name in every),
        tuple((name, a[name], b[name]) for name in every if a[name] != b[name]),
    )


def _abis(readings: Sequence[Reading], names: Names) -> set[str | None]:
    return {names.syscall(key, reading).abi for reading in readings for key in reading.calls}


def _totals(readings: Iterable[Reading], names: Names, by_number: bool) -> Counter[str]:
    totals: Counter[str] = Counter()
    for reading in readings:
        for key, count in reading.calls.items():
            totals[_label(key, reading, names, by_number)] += count.calls
    return totals


def _label(key: CallKey, reading: Reading, names: Names, by_number: bool) -> str:
    call = names.syscall(key, reading)
    if by_number and call.nr is not None:
        return _MULTIPLEXED.get(call.nr, f"number {call.nr}")
    return f"{call.abi or '?'}:{call.name}"
