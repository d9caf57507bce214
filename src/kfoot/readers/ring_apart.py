"""Counting calls by ABI, record by record, where an event beside a call tells native ones.

What to look for and why is told in ``ring_abi``; ``ring_native.scan_apart`` does the same in C.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from kfoot.readers.call_counts import NEVER, CallTable, outcome_of
from kfoot.readers.ring_buffer import COMMON, Calls, Plan, Stream, number, records

ENOSYS = -38
"""Outcome of a call that is not implemented."""


@dataclass(frozen=True, slots=True)
class Apart:
    """What tells 32-bit calls from native ones."""

    beside: frozenset[int]
    """Events that only native calls have."""
    announced: frozenset[int]
    """Tasks whose first call is native, though the event beside it is missing."""
    execs: frozenset[int]
    """Numbers of execve and execveat of the native ABI: after an exec that changed the ABI, the
    return is recorded with the number of the new one."""
    narrow_execs: frozenset[int]
    """Those of the 32-bit ABI."""
    narrow_ioctl: int
    """Number of ioctl of the 32-bit ABI."""


@dataclass(slots=True)
class _Open:
    """A call under way."""

    ns: int
    nr: int
    request: int
    native: bool


def count(
    streams: Sequence[Stream], plan: Plan, apart: Apart, tasks: Collection[int]
) -> tuple[CallTable, CallTable]:
    """Count the calls of these tasks: (native ones, 32-bit ones)."""
    calls = _Calls(plan, apart)
    fields = Calls.of(plan)
    wanted = apart.beside | {id for id in (fields.enter, fields.exit) if id is not None}
    merged = heapq.merge(
        *(_of(stream, plan, tasks, wanted) for stream in streams), key=lambda found: found[0]
    )
    for ns, id, tid, data in merged:
        if id in apart.beside:
            calls.beside(tid)
        elif id == fields.enter:
            calls.enter(ns, tid, data)
        else:
            calls.exit(ns, tid, data)
    calls.end()
    return calls.native, calls.narrow


class _Calls:
    """Counts calls; takes the records of all tasks in the order of time."""

    def __init__(self, plan: Plan, apart: Apart):
        self.native, self.narrow = CallTable(), CallTable()
        self._apart, self._ioctl = apart, plan.ioctl
        self._fields, self._order = Calls.of(plan), ">" if plan.page.big_endian else "<"
        self._open: dict[int, _Open] = {}
        self._announced = set(apart.announced)

    def beside(self, tid: int) -> None:
        # The order of the two records is that in which the events were enabled.
        call = self._open.get(tid)
        if call is not None and not call.native:
            call.native = True
        else:
            self._announced.add(tid)

    def enter(self, ns: int, tid: int, data: bytes) -> None:
        fields = self._fields
        nr = number(data, fields.nr, self._order) if fields.nr else None
        if nr is None:
            return
        if tid in self._open:
            self._end(tid, NEVER, 0)
        request = number(data, fields.request, self._order) if fields.request else None
        self._open[tid] = _Open(
            ns,
            nr,
            -1 if request is None else request & 0xFFFFFFFF,
            tid in self._announced,
        )
        self._announced.discard(tid)

    def exit(self, ns: int, tid: int, data: bytes) -> None:
        fields, apart, call = self._fields, self._apart, self._open.get(tid)
        if call is None or fields.exit_nr is None or fields.ret is None:
            return
        nr, ret = (number(data, field, self._order) for field in (fields.exit_nr, fields.ret))
        if nr is None or ret is None:
            return
        execs = apart.execs if call.native else apart.narrow_execs
        if nr in (-1, call.nr) or (call.nr in execs and nr in apart.execs | apart.narrow_execs):
            self._end(tid, outcome_of(ret), max(0, ns - call.ns))
        else:
            self._end(tid, NEVER, 0)

    def end(self) -> None:
        """What is still open never returned."""
        for tid in list(self._open):
            self._end(tid, NEVER, 0)

    def _end(self, tid: int, outcome: int, ns: int) -> None:
        call = self._open.pop(tid)
        native = call.native or outcome == ENOSYS
        asks = call.nr == (self._ioctl if native else self._apart.narrow_ioctl)
        table = self.native if native else self.narrow
        table.count(tid, call.nr, outcome, call.request if asks else -1, ns)


def _of(
    stream: Stream, plan: Plan, tasks: Collection[int], wanted: Collection[int]
) -> Iterator[tuple[int, int, int, bytes]]:
    """(ns, event, task, data) of the records of some tasks and events on one CPU."""
    for found in records_of(stream, plan):
        ns, id, tid, _ = found
        if tid in tasks and id in wanted and not (tid == plan.gate and ns < plan.gate_from):
            yield found


def records_of(stream: Stream, plan: Plan) -> Iterator[tuple[int, int, int, bytes]]:
    """(ns, event, task, data) of the records of one CPU, up to the plan's end."""
    common = struct.Struct((">" if plan.page.big_endian else "<") + "HBxi")
    for ns, data in records(stream, plan.page):
        if len(data) >= COMMON and (plan.until_ns is None or ns <= plan.until_ns):
            id, _, tid = common.unpack_from(data)
            yield ns, id, tid, data
