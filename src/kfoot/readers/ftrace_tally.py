"""What every ftrace format is counted into, and how that becomes a ``Reading``.

Text, raw pages and trace.dat differ in how a record is found; what a record means is here. The
native scanners fill the same ``Tally`` (see ``native.py``), so they cannot disagree about meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from kfoot.readers.call_counts import MOST_NS, NEVER, OK, CallCounts, CallTable
from kfoot.readers.errnos import errno_name
from kfoot.readers.event_counts import EventCounts, EventTable
from kfoot.readers.reading import (
    CallCount,
    CallKey,
    EventKey,
    Facts,
    Loss,
    Process,
    Reading,
    Request,
)

CONTEXTS = ("task", "softirq", "hardirq", "nmi", "unknown")
TASK, SOFTIRQ, HARDIRQ, NMI, UNKNOWN = range(5)

NANOSECOND_CLOCKS = ("local", "global", "perf", "mono", "mono_raw", "boot", "tai")
"""trace_clock settings that count nanoseconds; the others (counter, uptime, x86-tsc) do not."""

LIVES_MOST = 1_000_000
"""Records about tasks' lives kept; a trace with more of them loses names and parents."""

_CLONE_THREAD = 0x10000
_X32_BIT = 0x40000000

_COMPAT = {"x86_64": "i386", "arm64": "arm"}
"""The ABI of a kernel's 32-bit tasks."""

_ABIS = {
    "x86_64": "x86_64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "i386": "i386",
    "i486": "i386",
    "i586": "i386",
    "i686": "i386",
}

_IOCTL = {"x86_64": 16, "arm64": 29, "i386": 54, "arm": 54, "riscv64": 29, "s390x": 54}
"""Number of ioctl by ABI (arch/*/entry/syscalls/*.tbl): its second argument is the request."""


NO_NUMBER = -(1 << 62)
"""No syscall has it."""


def native_abi(arch: str | None) -> str | None:
    """The ABI of a kernel's own tasks by machine name (as uname says)."""
    if arch is not None and arch.startswith("arm") and arch != "arm64":
        return "arm"
    return _ABIS.get(arch, arch) if arch else None


def ioctl_number(arch: str | None) -> int:
    """The number whose second argument is an ioctl request; NO_NUMBER for an unknown machine."""
    return _IOCTL.get(native_abi(arch) or "", NO_NUMBER)


class Life(NamedTuple):
    """A record about a task's life, in the order of time."""

    kind: str
    """newtask, fork, exec or rename: the event's name behind "sched_process_" or "task_"."""
    tid: int
    """The task that was current."""
    a: int
    """newtask, fork: the child; exec: the thread that goes on; rename: the task."""
    b: int
    """newtask: clone flags; exec: the thread that called it; else 0."""
    text: bytes
    """newtask: comm; exec: file name; rename: the new comm; fork: empty."""


@dataclass(slots=True)
class Tally:
    """Counts by task, with everything needed to name them. Times in ns of the trace's clock."""

    events: EventCounts = field(default_factory=EventTable)
    calls: CallCounts = field(default_factory=CallTable)
    compat_calls: CallCounts = field(default_factory=CallTable)
    """Those known to be of the kernel's 32-bit ABI (see ``ring_abi``)."""
    lives: list[Life] = field(default_factory=list)
    lives_cut: int = 0
    comms: dict[int, bytes] = field(default_factory=dict)
    """Task names as every line of the trace says them: they hold over all others."""
    early_comms: dict[int, bytes] = field(default_factory=dict)
    """Task names when the recording began: they hold until ``lives`` says otherwise."""
    late_comms: dict[int, bytes] = field(default_factory=dict)
    """Task names when it ended, for tasks that have no other."""
    leaders: dict[int, int] = field(default_factory=dict)
    """Thread to thread group, where every line of the trace or the recording's begin says so."""
    late_leaders: dict[int, int] = field(default_factory=dict)
    """The same from its end, for threads nothing else is known of; those that lead themselves may
    be left out."""
    parents: dict[int, int] = field(default_factory=dict)
    """Thread group to the one that forked it, where something beside the records says so."""
    first: int | None = None
    last: int | None = None
    timed: bool = True
    """False: the clock counts something else than time, so durations are not measured."""
    abi_told: bool = False
    """``calls`` are known to be the machine's own, and none of them a 32-bit task's."""


def keep_life(tally: Tally, life: Life) -> None:
    """Append, within bounds."""
    if len(tally.lives) < LIVES_MOST:
        tally.lives.append(life)
    else:
        tally.lives_cut += 1


def until_ns(seconds: float | None) -> int | None:
    """``Options.until_s`` in ns."""
    if seconds is None:
        return None
    return int(min(max(seconds, 0.0) * 1e9, MOST_NS))


def finish(
    tally: Tally,
    *,
    format: str,
    source: str,
    arch: str | None,
    describe: Callable[[Hashable], tuple[str | None, str]],
) -> Reading:
    """The Reading of a tally. ``describe`` gives an event's system and name.

    One process per thread group, as far as the trace tells groups (the ``(tgid)`` column,
    ``task_newtask`` with CLONE_THREAD, saved_tgids); otherwise one per thread. A record does not
    say whether its task is a 32-bit one: calls get the machine's own ABI unless ``compat_calls``
    has them.
    """
    leaders = dict(tally.leaders)
    comms = dict(tally.early_comms)
    exes: dict[int, str] = {}
    parents = dict(tally.parents)
    for life in tally.lives:
        _live(life, leaders, comms, exes, parents)

    for tid, leader in tally.late_leaders.items():
        leaders.setdefault(tid, leader)

    tids = tally.events.tasks()
    tids |= tally.calls.tasks() | tally.compat_calls.tasks()
    group = {tid: leaders.get(tid, tid) for tid in tids}
    index = {pid: at for at, pid in enumerate(sorted(set(group.values())))}
    process = {tid: index[pid] for tid, pid in group.items()}
    abi = native_abi(arch)
    reading = Reading(format, source, facts=Facts(arch=arch))
    for pid in index:
        parent = parents.get(pid)
        comm = tally.comms.get(pid) or comms.get(pid) or tally.late_comms.get(pid)
        reading.processes.append(
            Process(
                pid,
                parent=index.get(parent) if parent is not None and parent != pid else None,
                exe=exes.get(pid),
                comm="<idle>" if pid == 0 else text(comm) if comm else None,
                abi=abi,
            )
        )
    reading.events = _events(tally, process, describe)
    reading.calls = _calls(tally.calls, tally.timed, process, abi, arch)
    reading.facts.abi_assumed = abi in _COMPAT and bool(tally.calls) and not tally.abi_told
    if tally.compat_calls:
        compat = _COMPAT.get(abi or "")
        reading.calls |= _calls(tally.compat_calls, tally.timed, process, compat, arch)
    if tally.timed and tally.first is not None and tally.last is not None:
        reading.facts.first_s, reading.facts.last_s = tally.first / 1e9, tally.last / 1e9
    if tally.lives_cut:
        reading.losses.append(Loss("cut", f"{source}: names of tasks", tally.lives_cut))
    return reading


def _events(
    tally: Tally,
    process: dict[int, int],
    describe: Callable[[Hashable], tuple[str | None, str]],
) -> dict[EventKey, dict[int | None, int]]:
    """Counts by process, which may have several tasks."""
    found: dict[EventKey, dict[int | None, int]] = {}
    for (event, number), counts in tally.events.by_process(process).items():
        row = found.setdefault(EventKey(*describe(event), CONTEXTS[number]), counts)
        if row is not counts:
            for at, count in counts.items():
                row[at] = row.get(at, 0) + count
    return found


def _calls(
    counts: CallCounts, timed: bool, process: dict[int, int], abi: str | None, arch: str | None
) -> dict[CallKey, CallCount]:
    """Counts by process; the numbers are those of ``abi``."""

    def describe(nr: int, code: int, asked: int) -> tuple[object, ...]:
        numbers_of = abi
        if abi == "x86_64" and nr > 0 and nr & _X32_BIT:
            nr, numbers_of = nr & ~_X32_BIT, "x32"
        request = None if asked == -1 else Request(asked, None)
        return numbers_of, nr, None, _outcome(code, arch), None, None, request

    return counts.by_process(process, describe, CallKey, CallCount, timed)


def text(raw: bytes) -> str:
    """A name out of a trace as text that can be written anywhere."""
    return raw.decode("utf-8", "backslashreplace")


def _outcome(code: int, arch: str | None) -> str:
    if code == OK:
        return "ok"
    return "never" if code == NEVER else errno_name(-code, arch)


def _live(
    life: Life,
    leaders: dict[int, int],
    comms: dict[int, bytes],
    exes: dict[int, str],
    parents: dict[int, int],
) -> None:
    if life.kind == "newtask":
        mine = leaders.get(life.tid, life.tid)
        comms[life.a] = life.text
        if life.b & _CLONE_THREAD:
            leaders[life.a] = mine
        else:
            leaders[life.a] = life.a
            parents[life.a] = mine
    elif life.kind == "fork":
        child = leaders.get(life.a, life.a)
        if child == life.a:
            parents.setdefault(child, leaders.get(life.tid, life.tid))
    elif life.kind == "exec":
        exes[leaders.get(life.a, life.a)] = text(life.text)
        comms[life.a] = life.text.rsplit(b"/", 1)[-1][:15]
    elif life.kind == "rename":
        comms[life.a] = life.text
