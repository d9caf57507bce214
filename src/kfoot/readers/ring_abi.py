"""32-bit calls on a 64-bit kernel, told apart in a recording of *all* events.

``raw_syscalls`` records a number and not the ABI it belongs to. Beside it the kernel records
``syscalls:sys_enter_NAME`` for a native call, and nothing for a 32-bit one
(kernel/trace/trace_syscalls.c, trace_get_syscall_nr; ARCH_TRACE_IGNORE_COMPAT_SYSCALLS of x86 and
arm64). So a task with more calls than such events made 32-bit ones: where there are any, the calls
are counted once more, with those events (``ring_apart``).

A call that is not implemented (ENOSYS) has no event either, and counts as native.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import islice

from kfoot.readers import ring_apart, ring_buffer, ring_native
from kfoot.readers.call_counts import CallCounts, CallTable
from kfoot.readers.ftrace_tally import Tally, native_abi
from kfoot.readers.reading import Loss
from kfoot.readers.ring_apart import ENOSYS, Apart, records_of
from kfoot.readers.ring_buffer import Calls, Plan, Stream

_IOCTL_32 = 54
"""Number of ioctl of both i386 and arm."""
_EXECS = {
    "x86_64": (frozenset({59, 520, 322, 545}), frozenset({11, 358})),
    "arm64": (frozenset({221, 281}), frozenset({11, 387})),
}
"""execve and execveat of a kernel's own ABI and of its 32-bit one."""

_ALL = 200
"""Formats of events beside calls with which a file seems to have them all (x86_64, 6.18: 360)."""
_NEAR = 10_000
"""Records behind a processor's first one in which its call's return is looked for."""
MOST_BYTES = 1 << 30
"""Pages that are gone through again in Python, at most: that is minutes."""


def set_apart(
    streams: Sequence[Stream],
    plan: Plan,
    tally: Tally,
    arch: str | None,
    *,
    all_events: bool = True,
) -> list[Loss]:
    """Move 32-bit calls of ``tally.calls`` to ``tally.compat_calls``.

    Returns a loss when there are such calls and they cannot be told apart: records are missing, or
    there are too many. Where it is not known that all events were enabled, nothing is concluded
    unless the records themselves speak for it.
    """
    abi = native_abi(arch)
    beside = {
        event.id
        for event in plan.formats.values()
        if event.system == "syscalls" and event.name.startswith("sys_enter_")
    }
    if abi not in _EXECS or not beside:
        return []
    native = tally.events.of(beside)
    mixed = _mixed(tally, Calls.of(plan).enter, native, plan.gate)
    damaged = any(s.damage.missed or s.damage.silent or s.damage.corrupt for s in streams)
    if not all_events and (damaged or not _enabled(tally, len(beside), native, mixed)):
        return []
    cut = _cut_in_two(streams, plan, beside) & native.keys() if mixed else set()
    tasks = {tid for tid, excess in mixed.items() if excess > (tid in cut)}
    if not tasks:
        tally.abi_told = True
        return []
    execs, narrow_execs = _EXECS[abi]
    announced = cut if plan.gate is None else cut | {plan.gate}
    apart = Apart(frozenset(beside), frozenset(announced), execs, narrow_execs, _IOCTL_32)
    found = None if damaged else _count(streams, plan, apart, tasks)
    if found is None:
        why = "records are missing" if damaged else "the recording is too long"
        return [Loss("abi", f"calls of perhaps 32-bit tasks: {why}", len(tasks))]
    native_calls, narrow_calls = (
        {key: row for key, row in calls.by_task().items() if key[0] in tasks} for calls in found
    )
    others = {key: row for key, row in tally.calls.by_task().items() if key[0] not in tasks}
    tally.calls = CallTable(others | native_calls)
    tally.compat_calls = CallTable(narrow_calls)
    tally.abi_told = True
    return []


def _count(
    streams: Sequence[Stream], plan: Plan, apart: Apart, tasks: Collection[int]
) -> tuple[CallCounts, CallCounts] | None:
    """(native, 32-bit) calls of these tasks at least; None where that would take too long."""
    fresh = [Stream(stream.cpu, stream.blocks, stream.region) for stream in streams]
    module = ring_native.usable(plan)
    if module is not None:
        # Without room for the unpacked pages the slower way still goes, page by page.
        with contextlib.suppress(OSError):
            return ring_native.scan_apart(module, fresh, plan, apart)
    if sum(len(block) for stream in fresh for block in stream.blocks()) > MOST_BYTES:
        return None
    if plan.gate in tasks:
        plan = replace(plan, gate_from=ring_buffer.gate_from(fresh, plan))
    return ring_apart.count(fresh, plan, apart, tasks)


def _enabled(tally: Tally, beside: int, native: dict[int, int], mixed: dict[int, int]) -> bool:
    """Whether the events beside calls seem to have been enabled, all of them: nearly all have their
    formats in the file, they were seen, and a task that has some of them and lacks others began
    another program meanwhile, which may be of the other ABI."""
    if beside < _ALL or not native:
        return False
    began = {life.tid for life in tally.lives if life.kind == "exec"}
    # One may be the call that the recording's begin cut in two.
    unknown = {tid: 1 for tid, excess in mixed.items() if tid in native and tid not in began}
    if all(mixed[tid] <= 1 for tid in unknown):
        return True
    for (tid, _, outcome, _), (calls, _) in tally.calls.by_task().items():
        if outcome == ENOSYS and tid in unknown:
            unknown[tid] += calls
    return all(mixed[tid] <= most for tid, most in unknown.items())


def _mixed(
    tally: Tally, enter: int | None, native: dict[int, int], gate: int | None
) -> dict[int, int]:
    """Tasks with more calls than events beside them (``native``), and by how many. That of the
    gate's exec, written just before the call, was left out with what is kfoot's."""
    excess = {
        tid: called - native.get(tid, 0) - (tid == gate)
        for tid, called in tally.events.of({enter}).items()
    }
    return {tid: count for tid, count in excess.items() if count > 0}


def _cut_in_two(streams: Sequence[Stream], plan: Plan, beside: set[int]) -> set[int]:
    """Tasks that were entering a call when the recording began, so that the event beside it is
    missing: the number is the first record of a processor, and no event comes behind it before the
    call returns. (A 32-bit call looks the same: it must be a task that makes native ones.)
    """
    calls, found = Calls.of(plan), set()
    for stream in streams:
        records = records_of(Stream(stream.cpu, stream.blocks, stream.region), plan)
        _, id, task, _ = next(records, (0, None, 0, b""))
        if id is not None and id == calls.enter and calls.exit is not None:
            behind = (id for _, id, tid, _ in islice(records, _NEAR) if tid == task)
            if next((id for id in behind if id in beside or id == calls.exit), None) == calls.exit:
                found.add(task)
    return found
