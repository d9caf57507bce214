"""32-bit calls on a 64-bit kernel, told apart in a recording of *all* events.

``raw_syscalls`` records a number and not the ABI it belongs to. Beside it the kernel records
``syscalls:sys_enter_NAME`` for a native call, and nothing for a 32-bit one
(kernel/trace/trace_syscalls.c, trace_get_syscall_nr; ARCH_TRACE_IGNORE_COMPAT_SYSCALLS of x86 and
arm64). So a task with more calls than such events made 32-bit ones. Such tasks are rare: only
theirs are counted again here, record by record.

A call that is not implemented (ENOSYS) has no event either, and counts as native.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from kfoot.readers import ring_buffer
from kfoot.readers.call_counts import NEVER, CallTable, outcome_of
from kfoot.readers.ftrace_tally import Tally, native_abi
from kfoot.readers.reading import Loss
from kfoot.readers.ring_buffer import COMMON, Calls, Plan, Stream, number, records

_ENOSYS = -38
_IOCTL_32 = 54
"""Number of ioctl of both i386 and arm."""
_EXECS = {
    "x86_64": (frozenset({59, 520, 322, 545}), frozenset({11, 358})),
    "arm64": (frozenset({221, 281}), frozenset({11, 387})),
}
"""execve and execveat of a kernel's own ABI and of its 32-bit one: after an exec that changed the
ABI, the return is recorded with the number of the new one."""

_NEAR = 10_000
"""Records behind a processor's first one in which its call's return is looked for."""
MOST_BYTES = 1 << 30
"""Pages that are gone through again, at most: in Python that is minutes."""


def set_apart(streams: Sequence[Stream], plan: Plan, tally: Tally, arch: str | None) -> list[Loss]:
    """Move 32-bit calls of ``tally.calls`` to ``tally.compat_calls``.

    All events must have been enabled. Returns a loss when there are such calls and they cannot be
    told apart: records are missing, or there are too many.
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
    cut = _cut_in_two(streams, plan, beside) & native.keys() if mixed else set()
    tasks = {tid for tid, excess in mixed.items() if excess > (tid in cut)}
    if not tasks:
        return []
    damaged = any(s.damage.missed or s.damage.silent or s.damage.corrupt for s in streams)
    size = 0
    if not damaged:
        for stream in streams:
            size += sum(len(block) for block in stream.blocks())
    if damaged or size > MOST_BYTES:
        why = "records are missing" if damaged else "the recording is too long"
        return [Loss("abi", f"calls of perhaps 32-bit tasks: {why}", len(tasks))]
    fresh = [Stream(stream.cpu, stream.blocks, stream.region) for stream in streams]
    if plan.gate in tasks:
        plan = replace(plan, gate_from=ring_buffer.gate_from(fresh, plan))
    native_calls, compat_calls = CallTable(), CallTable()
    _count(fresh, plan, native_calls, compat_calls, tasks, beside, cut, *_EXECS[abi])
    others = {key: row for key, row in tally.calls.by_task().items() if key[0] not in tasks}
    tally.calls = CallTable(others | native_calls.by_task())
    tally.compat_calls = compat_calls
    return []


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
        records = _records(Stream(stream.cpu, stream.blocks, stream.region), plan)
        _, id, task, _ = next(records, (0, None, 0, b""))
        if id is not None and id == calls.enter and calls.exit is not None:
            behind = (id for _, id, tid, _ in islice(records, _NEAR) if tid == task)
            if next((id for id in behind if id in beside or id == calls.exit), None) == calls.exit:
                found.add(task)
    return found


@dataclass(slots=True)
class _Open:
    """A call under way."""

    ns: int
    nr: int
    request: int
    native: bool


def _count(
    streams: list[Stream],
    plan: Plan,
    native_calls: CallTable,
    compat_calls: CallTable,
    tasks: set[int],
    beside: set[int],
    announced: set[int],
    execs: frozenset[int],
    execs_32: frozenset[int],
) -> None:
    calls, order = Calls.of(plan), ">" if plan.page.big_endian else "<"
    wanted = beside | {id for id in (calls.enter, calls.exit) if id is not None}
    merged = heapq.merge(
        *(_of(stream, plan, tasks, wanted) for stream in streams), key=lambda found: found[0]
    )
    under_way: dict[int, _Open] = {}
    announced = announced if plan.gate is None else announced | {plan.gate}

    def end(tid: int, call: _Open, outcome: int, ns: int) -> None:
        native = call.native or outcome == _ENOSYS
        asks = call.nr == (plan.ioctl if native else _IOCTL_32)
        table = native_calls if native else compat_calls
        table.count(tid, call.nr, outcome, call.request if asks else -1, ns)

    for ns, id, tid, data in merged:
        call = under_way.get(tid)
        if id in beside:
            # The order of the two records is that in which the events were enabled.
            if call is not None and not call.native:
                call.native = True
            else:
                announced.add(tid)
        elif id == calls.enter and calls.nr:
            if call is not None:
                end(tid, call, NEVER, 0)
            request = number(data, calls.request, order) if calls.request else None
            under_way[tid] = _Open(
                ns,
                number(data, calls.nr, order) or 0,
                -1 if request is None else request & 0xFFFFFFFF,
                tid in announced,
            )
            announced.discard(tid)
        elif call is not None and calls.exit_nr and calls.ret:
            del under_way[tid]
            nr = number(data, calls.exit_nr, order)
            exec_ = call.nr in (execs if call.native else execs_32) and nr in execs | execs_32
            if nr in (-1, call.nr) or exec_:
                end(
                    tid, call, outcome_of(number(data, calls.ret, order) or 0), max(0, ns - call.ns)
                )
            else:
                end(tid, call, NEVER, 0)
    for tid, call in under_way.items():
        end(tid, call, NEVER, 0)


def _of(
    stream: Stream, plan: Plan, tasks: set[int], wanted: set[int]
) -> Iterator[tuple[int, int, int, bytes]]:
    """(ns, event, task, data) of the records of some tasks and events on one CPU."""
    for found in _records(stream, plan):
        ns, id, tid, _ = found
        if tid in tasks and id in wanted and not (tid == plan.gate and ns < plan.gate_from):
            yield found


def _records(stream: Stream, plan: Plan) -> Iterator[tuple[int, int, int, bytes]]:
    """(ns, event, task, data) of the records of one CPU."""
    common = struct.Struct((">" if plan.page.big_endian else "<") + "HBxi")
    for ns, data in records(stream, plan.page):
        if len(data) >= COMMON and (plan.until_ns is None or ns <= plan.until_ns):
            id, _, tid = common.unpack_from(data)
            yield ns, id, tid, data
