"""Sub-buffers of the kernel's ring buffer, decoded record by record in pure Python.

A sub-buffer is u64 time stamp, commit word (length, bit 31 records missed before it, bit 30 their
number stored behind the records), then records: a word of type_len (5 bits) and time delta (27
bits), then data (kernel/trace/ring_buffer.c, include/linux/ring_buffer.h). Pages of one CPU are in
order of time; CPUs are merged by time for what depends on order (calls, task lives).

Time in a corrupt file: a sub-buffer's records lie between its own time stamp and the next one's,
and time never runs backwards within a CPU; what says otherwise is set to the bound and counted.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from kfoot.readers.call_counts import MOST_NS, CallTable, Pairs
from kfoot.readers.event_counts import EventTable
from kfoot.readers.ftrace_format import EventFormat, Field, PageFormat
from kfoot.readers.ftrace_tally import (
    HARDIRQ,
    NMI,
    NO_NUMBER,
    SOFTIRQ,
    TASK,
    Life,
    Tally,
    keep_life,
)

MISSED, STORED, LENGTH = 1 << 31, 1 << 30, (1 << 27) - 1
PADDING, TIME_EXTEND, TIME_STAMP = 29, 30, 31
_STAMP_TOP = 0xF8 << 56
COMMON = 8
"""Bytes of common_type, common_flags, common_preempt_count and common_pid."""
NEVER_NS = (1 << 64) - 1

_FLAG_HARDIRQ, _FLAG_SOFTIRQ, _FLAG_NMI = 0x08, 0x10, 0x40
CONTEXT = tuple(
    NMI if flags & _FLAG_NMI
    else HARDIRQ if flags & _FLAG_HARDIRQ
    else SOFTIRQ if flags & _FLAG_SOFTIRQ
    else TASK
    for flags in range(256)
)  # fmt: skip
"""Context by common_flags (include/linux/trace_events.h: enum trace_flag_type), as the text shows
it: "H" (hard within soft) is hardirq, "z" and "Z" are nmi."""

ENTER, EXIT = ("raw_syscalls", "sys_enter"), ("raw_syscalls", "sys_exit")
LIVES = {
    ("task", "task_newtask"): ("newtask", "pid", "clone_flags", "comm"),
    ("task", "task_rename"): ("rename", "pid", None, "newcomm"),
    ("sched", "sched_process_fork"): ("fork", "child_pid", None, None),
    ("sched", "sched_process_exec"): ("exec", "pid", "old_pid", "filename"),
}
"""Event to the kind of Life and its fields a, b and text."""


@dataclass(slots=True)
class Damage:
    """What one CPU's pages are known to lack. Numbers of records unless said otherwise."""

    missed: int = 0
    silent: int = 0
    """Times that records were missed and their number was not stored."""
    corrupt: int = 0
    """Pages and records whose lengths or fields cannot be."""
    disordered: int = 0
    """Records whose time lies outside their sub-buffer's."""
    torn: int = 0
    """Bytes at the end that are no whole sub-buffer."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to look for in records, made of the formats."""

    page: PageFormat
    formats: dict[int, EventFormat]
    ioctl: int = NO_NUMBER
    until_ns: int | None = None
    gate: int | None = None
    """A task whose records before its first exec are left out (its call of exec is not)."""
    gate_from: int = 0

    def event(self, key: tuple[str, str]) -> EventFormat | None:
        return next((e for e in self.formats.values() if (e.system, e.name) == key), None)


@dataclass(slots=True)
class Stream:
    """One CPU's pages."""

    cpu: int
    blocks: Callable[[], Iterable[bytes]]
    """Gives the pages' bytes from the beginning, cut anywhere."""
    region: tuple[Path, int, int] | None = None
    """File, offset and length where they stand uncompressed, if they do."""
    damage: Damage = field(default_factory=Damage)


def pages(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Whole pages, then what is left."""
    rest = b""
    for block in blocks:
        data = rest + block if rest else block
        whole = len(data) - len(data) % size
        for at in range(0, whole, size):
            yield data[at : at + size]
        rest = data[whole:]
    if rest:
        yield rest


def records(stream: Stream, page: PageFormat) -> Iterator[tuple[int, bytes]]:
    """(ns, data) of every record of one CPU, in order."""
    damage = stream.damage
    order = ">" if page.big_endian else "<"
    head = struct.Struct(order + ("QQ" if page.commit == 8 else "QI"))
    waiting: tuple[int, bytes, int] | None = None
    start = 0
    for data in pages(stream.blocks(), page.page):
        if len(data) < page.page:
            damage.torn += len(data)
            if len(data) < page.data:
                break
        stamp, commit = head.unpack_from(data)
        start = max(start, stamp)
        if waiting is not None:
            yield from _page(*waiting, start, page, damage)
        waiting = start, data, commit
    if waiting is not None:
        yield from _page(*waiting, NEVER_NS, page, damage)


def _page(
    start: int, data: bytes, commit: int, end: int, page: PageFormat, damage: Damage
) -> Iterator[tuple[int, bytes]]:
    order = ">" if page.big_endian else "<"
    word = struct.Struct(order + "I")
    room = len(data) - page.data
    length = commit & LENGTH
    if length > page.page - page.data:
        damage.corrupt += 1
        length = page.page - page.data
    if commit & MISSED:
        if commit & STORED and length + page.commit <= room:
            kind = "Q" if page.commit == 8 else "I"
            (missed,) = struct.unpack_from(order + kind, data, page.data + length)
            damage.missed = min(damage.missed + missed, MOST_NS)
        else:
            damage.silent += 1
    at, stop = page.data, page.data + min(length, room)
    now = raw = start
    while at < stop:
        if stop - at < 4:
            damage.corrupt += 1
            return
        (first,) = word.unpack_from(data, at)
        kind = first >> 27 if page.big_endian else first & 31
        delta = first & 0x7FFFFFF if page.big_endian else first >> 5
        if kind == PADDING and delta == 0:
            return
        second = 0
        if kind >= PADDING or kind == 0:
            if stop - at < 8:
                damage.corrupt += 1
                return
            (second,) = word.unpack_from(data, at + 4)
        if kind == TIME_EXTEND:
            raw = (raw + (second << 27) + delta) & NEVER_NS
            at += 8
            continue
        if kind == TIME_STAMP:
            raw = _stamp((second << 27) + delta, raw)
            at += 8
            continue
        if kind == PADDING:
            # A record its writer took back; a delta of 1 was put in and is not time.
            if delta != 1:
                raw = (raw + delta) & NEVER_NS
            at += 4 + second
            continue
        raw = (raw + delta) & NEVER_NS
        begin, size = (at + 4, kind * 4) if kind else (at + 8, second - 4)
        if size < 0 or begin + size > stop:
            damage.corrupt += 1
            return
        if not now <= raw <= end:
            damage.disordered += 1
            raw = min(max(raw, now), end)
        now = raw
        yield now, data[begin : begin + size]
        at = begin + size


def _stamp(low: int, before: int) -> int:
    """An absolute time stamp has 59 bits; the upper ones are those of the time before it."""
    stamp = low | (before & _STAMP_TOP)
    if stamp < before:
        stamp += 1 << 59
    return stamp & NEVER_NS


def number(data: bytes, at: Field, order: str) -> int | None:
    """An integer field; None when the record is too short for it."""
    if at.size not in (1, 2, 4, 8) or at.offset + at.size > len(data):
        return None
    return int.from_bytes(
        data[at.offset : at.offset + at.size],
        "big" if order == ">" else "little",
        signed=at.signed,
    )


def string(data: bytes, at: Field, order: str) -> bytes | None:
    """A character array, fixed or behind __data_loc/__rel_loc; None when it is outside."""
    offset, size = at.offset, at.size
    if at.type.startswith(("__data_loc", "__rel_loc")):
        if size != 4 or offset + 4 > len(data):
            return None
        (where,) = struct.unpack_from(order + "I", data, offset)
        offset = where & 0xFFFF
        if at.type.startswith("__rel_loc"):
            offset += at.offset + 4
        size = where >> 16
    if offset + size > len(data):
        return None
    return data[offset : offset + size].split(b"\0", 1)[0]


class LifeFields(NamedTuple):
    """Where an event that tells of a task's life keeps its parts; None: that event has none."""

    kind: str
    a: Field | None
    b: Field | None
    text: Field | None
    complete: bool
    """False: the format lacks a field, nothing can be read."""


def lives_in(plan: Plan) -> dict[int, LifeFields]:
    """By event number, those of ``LIVES`` the plan has formats of."""
    found = {}
    for event in plan.formats.values():
        known = LIVES.get((event.system or "", event.name))
        if known is not None:
            kind, *labels = known
            a, b, text = (event.fields.get(label) if label else None for label in labels)
            wanted = zip(labels, (a, b, text), strict=True)
            complete = all(field is not None for label, field in wanted if label)
            found[event.id] = LifeFields(kind, a, b, text, complete)
    return found


def life_of(fields: LifeFields, tid: int, data: bytes, order: str) -> Life | None:
    """The Life a record tells; None when its fields are missing or outside of it."""
    kind, at_a, at_b, at_text, complete = fields
    a = number(data, at_a, order) if at_a else 0
    b = number(data, at_b, order) if at_b else 0
    text = string(data, at_text, order) if at_text else b""
    if not complete or a is None or b is None or text is None:
        return None
    return Life(kind, tid, a, b, text)


class Calls(NamedTuple):
    """Where raw_syscalls keeps its numbers; None when the formats do not have them."""

    enter: int | None
    nr: Field | None
    request: Field | None
    """The second argument."""
    exit: int | None
    exit_nr: Field | None
    ret: Field | None

    @classmethod
    def of(cls, plan: Plan) -> Calls:
        enter, leave = plan.event(ENTER), plan.event(EXIT)
        nr = enter.fields.get("id") if enter else None
        args = enter.fields.get("args") if enter else None
        exit_nr = leave.fields.get("id") if leave else None
        ret = leave.fields.get("ret") if leave else None
        request = None
        if args is not None and args.size % 6 == 0:
            step = args.size // 6
            request = Field("request", "unsigned long", args.offset + step, step, False)
        return cls(
            enter.id if enter and nr else None,
            _signed(nr),
            request,
            leave.id if leave and exit_nr and ret else None,
            _signed(exit_nr),
            _signed(ret),
        )


def _signed(field: Field | None) -> Field | None:
    """Numbers and return values are long, also where a format says otherwise."""
    return field._replace(signed=True) if field and field.size == 8 else field


def scan(streams: list[Stream], plan: Plan) -> Tally:
    """Count all records of all CPUs. Each stream's ``damage`` is filled in."""
    events, table = EventTable(), CallTable()
    tally = Tally(events, table)
    pairs = Pairs(table)
    calls = Calls.of(plan)
    order = ">" if plan.page.big_endian else "<"
    lives = lives_in(plan)
    ordered = {calls.enter, calls.exit, *lives}
    merged = heapq.merge(
        *(_counted(stream, plan, tally, events, ordered) for stream in streams),
        key=lambda found: found[0],
    )
    for ns, stream, id, tid, data in merged:
        if id == calls.enter and calls.nr:
            nr = number(data, calls.nr, order)
            request = -1
            if nr is not None and nr == plan.ioctl and calls.request:
                found = number(data, calls.request, order)
                request = -1 if found is None else found & 0xFFFFFFFF
            if nr is None:
                stream.damage.corrupt += 1
            else:
                pairs.enter(tid, ns, nr, request)
        elif id == calls.exit and calls.exit_nr and calls.ret:
            nr = number(data, calls.exit_nr, order)
            ret = number(data, calls.ret, order)
            if nr is None or ret is None:
                stream.damage.corrupt += 1
            else:
                pairs.exit(tid, ns, nr, ret)
        else:
            life = life_of(lives[id], tid, data, order)
            if life is None:
                stream.damage.corrupt += 1
            else:
                keep_life(tally, life)
    pairs.end()
    return tally


def _counted(
    stream: Stream, plan: Plan, tally: Tally, events: EventTable, ordered: set[int | None]
) -> Iterator[tuple[int, Stream, int, int, bytes]]:
    """Counts every record of one CPU, gives those on whose order something depends."""
    common = struct.Struct((">" if plan.page.big_endian else "<") + "HBxi")
    until = NEVER_NS if plan.until_ns is None else plan.until_ns
    for ns, data in records(stream, plan.page):
        if ns > until:
            continue
        if len(data) < COMMON:
            stream.damage.corrupt += 1
            continue
        id, flags, tid = common.unpack_from(data)
        if tid == plan.gate and ns < plan.gate_from:
            continue
        tally.first = ns if tally.first is None else min(tally.first, ns)
        tally.last = ns if tally.last is None else max(tally.last, ns)
        events.record(tid, id, CONTEXT[flags])
        if id in ordered:
            yield ns, stream, id, tid, data


def gate_from(streams: list[Stream], plan: Plan) -> int:
    """When the gate's own records begin: its last sys_enter at or before its first exec.

    NEVER_NS when it did not exec; streams are read up to that exec only.
    """
    calls, order = Calls.of(plan), ">" if plan.page.big_endian else "<"
    common = struct.Struct(order + "HBxi")
    exec_ = plan.event(("sched", "sched_process_exec"))
    if exec_ is None:
        return 0
    fresh = [Stream(stream.cpu, stream.blocks) for stream in streams]
    merged = heapq.merge(
        *(records(stream, plan.page) for stream in fresh), key=lambda found: found[0]
    )
    entered: int | None = None
    done: int | None = None
    for ns, data in merged:
        if done is not None and ns > done:
            break
        if len(data) < COMMON:
            continue
        id, _, tid = common.unpack_from(data)
        if tid != plan.gate:
            continue
        if id == calls.enter:
            entered = ns
        elif id == exec_.id and done is None:
            done = ns
    if done is None:
        return NEVER_NS
    return done if entered is None else entered
