"""Reader ``babeltrace``: the text of babeltrace2 (and babeltrace 1) of a CTF trace.

A record is ``[time] (+delta) host event: { packet }, { context }, { fields }``. Known are traces of
the LTTng kernel tracer (``syscall_entry_read``, ``sched_process_exec``) and those that ``perf data
convert --to-ctf`` makes (``raw_syscalls:sys_enter``). Fields are looked up by name, wherever the
context puts them; a trace whose context holds no task counts its events for task 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kfoot.readers.base import Options
from kfoot.readers.event_text import EventText, nanoseconds
from kfoot.readers.files import Lines
from kfoot.readers.ftrace_tally import (
    HARDIRQ,
    NMI,
    SOFTIRQ,
    TASK,
    UNKNOWN,
    Life,
    ioctl_number,
    keep_life,
)
from kfoot.readers.reading import Reading

NAME = "babeltrace"

_RECORD = re.compile(
    r"\[(?:\d{4}-\d\d-\d\d )?(?:(\d\d):(\d\d):)?(\d{1,10})\.(\d{1,9})\] "
    r"(?:\(\+[\d.?]{1,24}\) )?(?:[\w.-]{1,64} )?(?:[\w.-]{1,64}:)??"
    r"((?:[a-z_][a-z0-9_]{0,63}:)?[A-Za-z_]\w{0,99}): (?=\{)(.*)",
    re.DOTALL,
)
_FIELD = re.compile(r'\b([A-Za-z_]\w*) = ("(?:[^"\\]|\\.)*"|0x[0-9A-Fa-f]{1,16}|-?\d{1,19})')
_ARGS = re.compile(
    r"\bargs = \[ (?:\[0\] = )?(?:0x[0-9A-Fa-f]{1,16}|\d{1,19}), "
    r"(?:\[1\] = )?(0x[0-9A-Fa-f]{1,16}|\d{1,19})"
)
_DISCARDED = re.compile(r"(?:.*WARNING: |\[warning\] )Tracer discarded (\d{1,18}) event", re.DOTALL)
_ENTRY = re.compile(r"(compat_)?(?:syscall_entry_|syscalls:sys_enter_|sys_)(\w+)$")
_EXITS = re.compile(r"(compat_)?(?:syscall_exit_|syscalls:sys_exit_)(\w+)$")

_HARDIRQ, _SOFTIRQ, _NMI = 0x08, 0x10, 0x40
"""common_flags (include/linux/trace_events.h: enum trace_flag_type)."""


class Babeltrace:
    """The reader (see ``kfoot.readers.base.Reader``)."""

    name = NAME

    def sniff(self, path: Path, head: bytes) -> bool:
        lines = [line for line in head.decode("utf-8", "replace").split("\n")[:100] if line]
        found = sum(1 for line in lines if _RECORD.match(line))
        return found > 0 and 2 * found >= len(lines)

    def read(self, paths: Sequence[Path], options: Options) -> Reading:
        """Read one file. Raises InputError when it holds no record."""
        lines = Lines(paths[0], options)
        counts = EventText(options)
        scan = _Scan(counts, options)
        for number, line in enumerate(lines, 1):
            if line:
                scan.line(number, line)
        counts.losses += lines.losses
        reading = counts.reading(NAME, paths, options.arch)
        reading.facts.tool = "CTF"
        return reading


class _Scan:
    def __init__(self, counts: EventText, options: Options):
        self._counts = counts
        self._ioctl = ioctl_number(options.arch)
        self._compat = {"x86_64": "i386", "aarch64": "arm"}.get(options.arch or "")

    def line(self, number: int, line: str) -> None:
        record = _RECORD.match(line)
        if record is None:
            lost = _DISCARDED.match(line)
            if lost:
                self._counts.lost += int(lost[1])
            else:
                self._counts.miss(number, line)
            return
        hours, minutes, seconds, fraction, name, rest = record.groups()
        ns = nanoseconds(seconds, fraction)
        if hours:
            ns += (int(hours) * 3600 + int(minutes) * 60) * 10**9
        fields = {key: _value(text) for key, text in _FIELD.findall(rest)}
        tid = _number(fields, "perf_tid", "vtid", "tid", "common_pid")
        pid = _number(fields, "perf_pid", "vpid", "pid")
        if name.startswith("sched") and "perf_tid" not in fields:
            # The fields of these events name other tasks than the one that was running.
            context = {key: _value(text) for key, text in _FIELD.findall(rest.rpartition("{")[0])}
            tid, pid = _number(context, "vtid", "tid"), _number(context, "vpid", "pid")
        system, colon, event = name.rpartition(":")
        if not self._counts.event(tid, ns, (system if colon else None, event), _context(fields)):
            return
        if pid:
            self._counts.tally.leaders[tid] = pid
        comm = fields.get("procname")
        if isinstance(comm, str):
            self._counts.tally.comms[tid] = comm.encode("utf-8", "surrogateescape")
        self._call(tid, ns, name, fields, rest)

    def _call(self, tid: int, ns: int, name: str, fields: dict[str, int | str], rest: str) -> None:
        counts = self._counts
        ret = _number(fields, "ret")
        if name == "raw_syscalls:sys_enter":
            nr, args = _number(fields, "id"), _ARGS.search(rest)
            asks = nr == self._ioctl and args is not None
            request = _integer(args[1]) & 0xFFFFFFFF if asks and args else -1
            counts.pairs.enter(tid, ns, nr, request)
        elif name == "raw_syscalls:sys_exit":
            counts.pairs.exit(tid, ns, _number(fields, "id"), ret)
        elif found := _EXITS.match(name):
            counts.named.exit(tid, ns, self._number_of(found), ret)
        elif found := _ENTRY.match(name):
            asks = found[2] == "ioctl" and "cmd" in fields
            request = _number(fields, "cmd") & 0xFFFFFFFF if asks else -1
            counts.named.enter(tid, ns, self._number_of(found), request)
        elif name.endswith("sched_process_exec"):
            path = str(fields.get("filename", "")).encode("utf-8", "surrogateescape")
            old = _number(fields, "old_tid", "old_pid")
            keep_life(counts.tally, Life("exec", tid, tid, old or tid, path))
        elif name.endswith("sched_process_fork"):
            child, leader = _number(fields, "child_tid"), _number(fields, "child_pid")
            if not child or child == leader:
                keep_life(counts.tally, Life("fork", tid, child or leader, 0, b""))
            else:
                counts.tally.leaders[child] = leader

    def _number_of(self, found: re.Match[str]) -> int:
        return self._counts.number(found[2], self._compat if found[1] else None)


def _value(text: str) -> int | str:
    if text.startswith('"'):
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return _integer(text)


def _integer(text: str) -> int:
    if not text.startswith("0x"):
        return int(text)
    value = int(text, 16)
    return value - (1 << 64) if value >= 1 << 63 else value


def _number(fields: dict[str, int | str], *names: str) -> int:
    """The first of these fields that is a number; 0 where there is none."""
    return next((v for name in names if isinstance(v := fields.get(name), int)), 0)


def _context(fields: dict[str, int | str]) -> int:
    flags = fields.get("common_flags")
    if not isinstance(flags, int):
        return UNKNOWN
    if flags & _NMI:
        return NMI
    if flags & _HARDIRQ:
        return HARDIRQ
    return SOFTIRQ if flags & _SOFTIRQ else TASK


READER = Babeltrace()
