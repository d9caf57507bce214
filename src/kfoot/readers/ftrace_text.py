"""Reader ``ftrace-text``: tracefs ``trace`` and ``trace_pipe``, and ``trace-cmd report``.

A line is ``comm-pid (tgid) [cpu] flags seconds: event``; the name is padded to column 16, may hold
spaces and dashes; ``(tgid)`` and the flags may be missing (kernel/trace/trace_output.c). The third
flag tells interrupt context. ``sys_openat(...)`` and ``sys_openat -> 0x3`` are the events
``sys_enter_openat`` and ``sys_exit_openat`` (kernel/trace/trace_syscalls.c); calls are counted from
``raw_syscalls``, which says number and return value. The text does not print an event's system.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from kfoot.errors import InputError
from kfoot.readers.base import Options, Progress
from kfoot.readers.call_counts import MOST_NS, CallTable, Pairs
from kfoot.readers.event_counts import EventTable
from kfoot.readers.files import Source
from kfoot.readers.ftrace_tally import (
    HARDIRQ,
    NMI,
    NO_NUMBER,
    SOFTIRQ,
    TASK,
    UNKNOWN,
    Life,
    Tally,
    finish,
    ioctl_number,
    keep_life,
    until_ns,
)
from kfoot.readers.reading import Loss, Reading

LONGEST = 1 << 16
"""Of a longer line only so many bytes are looked at: the head of a record is far shorter."""
SAMPLES = 5
SAMPLE_BYTES = 200
BLOCK = 1 << 20
PIECE = 4 << 20
"""Bytes that one of the native scanner's threads takes at a time."""

_TIME = rb"(?:(\d{1,10})\.(\d{1,9})|(\d{1,19})): +"
_RECORD = re.compile(
    rb"-(\d{1,9}) +(?:\( *(\d{1,9}|-+)\) +)?\[(\d{1,6})\] +"
    rb"(?:" + _TIME + rb"|([!-~]{4,8}) +" + _TIME + rb")"
    rb"(?:([A-Za-z0-9_.]{1,100})(:| -> | <-|\()|(<stack trace|<user stack trace))"
)
_COLUMN = 16
"""Where the dash behind a name stands; elsewhere it is looked for in the first _FURTHEST bytes."""
_FURTHEST = 64

_CONTEXT = {
    ord("."): TASK,
    ord("s"): SOFTIRQ,
    ord("h"): HARDIRQ,
    ord("H"): HARDIRQ,
    ord("z"): NMI,
    ord("Z"): NMI,
}

_ENTER = re.compile(rb" *NR (-?\d{1,10}) \(([0-9a-f]{1,16})(?:, ([0-9a-f]{1,16}))?")
_EXIT = re.compile(rb" *NR (-?\d{1,10}) = (-?\d{1,19})[ \r]*$")

_LIVES = {
    b"task_newtask": re.compile(
        rb" *pid=(?P<a>\d{1,10}) comm=(?P<text>.*) clone_flags=(?P<flags>[0-9a-f]{1,16}) ", re.S
    ),
    b"task_rename": re.compile(
        rb" *pid=(?P<a>\d{1,10}) oldcomm=.* newcomm=(?P<text>.*) oom_score_adj=", re.S
    ),
    b"sched_process_fork": re.compile(rb".* child_pid=(?P<a>\d{1,10})[ \r]*$", re.S),
    b"sched_process_exec": re.compile(
        rb" *filename=(?P<text>.*) pid=(?P<a>\d{1,10}) old_pid=(?P<old>\d{1,10})[ \r]*$", re.S
    ),
}

_LOST = re.compile(rb"CPU:(\d{1,6}) \[(?:LOST )?(?:(\d{1,18}) )?EVENTS(?: DROPPED)?\]")
_HEAD = re.compile(rb"(?:cpus=\d+|version = \d+|CPU \d+ is empty)[ \r]*$")
_CONTINUED = re.compile(rb"[0-9a-f: \r]*$| => ")
"""Hex dumps, empty lines and stack frames belong to the record before them."""
_TALKERS = (b"9p_protocol_dump", b"console", b"print")
"""Events whose text may hold line ends: what follows them and is no record is theirs."""
_WRITTEN = re.compile(rb"# entries-in-buffer/entries-written: (\d{1,18})/(\d{1,18})")
_TRACER = re.compile(rb"# tracer: ([\w-]{1,40})")


@dataclass(slots=True)
class TextTally:
    """A tally with what only text has."""

    tally: Tally = field(default_factory=Tally)
    lines: int = 0
    records: int = 0
    unparsed: int = 0
    continued: int = 0
    samples: list[tuple[int, bytes]] = field(default_factory=list)
    lost: dict[int, list[int]] = field(default_factory=dict)
    """CPU -> [events known to be lost, notices without a number]."""
    overrun: int = 0
    """Events written that were no longer in the buffer when the trace was printed."""
    tracer: bytes | None = None
    """As the head of tracefs' text names it."""
    trace_cmd: bool = False
    """It has the head of ``trace-cmd report``."""


def lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their newline, cut to LONGEST bytes."""
    rest = b""
    for piece in pieces:
        found = (rest + piece).split(b"\n")
        rest = found.pop()[:LONGEST]
        for line in found:
            yield line[:LONGEST]
    if rest:
        yield rest


class Scanner:
    """Counts lines; ``feed`` may be called for one piece of a trace after the other."""

    def __init__(self, *, until_ns: int | None = None, ioctl: int = NO_NUMBER):
        self._events, calls = EventTable(), CallTable()
        self.counts = TextTally(Tally(self._events, calls))
        self._until = until_ns
        self._ioctl = ioctl
        self._pairs = Pairs(calls)
        self._talker = False

    def read(self, path: Path, progress: Progress | None = None) -> str | None:
        """Count a file; gives why a compressed one ended early."""
        with Source(path) as source:
            self.feed(lines(_pieces(source, progress)))
            return source.broken

    def feed(self, found: Iterable[bytes]) -> None:
        counts = self.counts
        for line in found:
            counts.lines += 1
            if line[:1] == b"#":
                self._comment(line)
                continue
            at = _COLUMN
            match = _RECORD.match(line, at) if line[at : at + 1] == b"-" else None
            if match is None:
                at = line.find(b"-", 0, _FURTHEST)
                while at >= 0 and (match := _RECORD.match(line, at)) is None:
                    at = line.find(b"-", at + 1, _FURTHEST)
            if match is None or not self._record(line, at, match):
                self._other(line)

    def end(self) -> TextTally:
        self._pairs.end()
        return self.counts

    def _record(self, line: bytes, at: int, match: re.Match[bytes]) -> bool:
        pid, tgid, _, s1, f1, t1, flags, s2, f2, t2, name, mark, stack = match.groups()
        tally = self.counts.tally
        seconds, fraction, ticks = s1 or s2, f1 or f2, t1 or t2
        ns = int(ticks) if ticks else int(seconds) * 10**9 + int(fraction.ljust(9, b"0"))
        tid = int(pid)
        if stack:
            name = b"user_stack" if stack == b"<user stack trace" else b"kernel_stack"
        elif mark == b" <-":
            name = b"function"
        elif mark != b":" and name.startswith(b"sys_"):
            name = (b"sys_exit_" if mark == b" -> " else b"sys_enter_") + name[4:]
        elif mark == b" -> ":
            return False
        elif name == b"tracing_mark_write":
            name = b"print"
        call: re.Match[bytes] | None = None
        if mark == b":" and name in (b"sys_enter", b"sys_exit"):
            call = (_ENTER if name == b"sys_enter" else _EXIT).match(line, match.end())
            if call is None:
                return False
        self._talker = name in _TALKERS
        self.counts.records += 1
        if ticks:
            tally.timed = False
        if self._until is not None and ns > self._until:
            return True
        tally.first = ns if tally.first is None else min(tally.first, ns)
        tally.last = ns if tally.last is None else max(tally.last, ns)
        self._events.record(tid, name, _CONTEXT.get(flags[2], UNKNOWN) if flags else UNKNOWN)
        comm = line[:at].strip(b" ")
        if comm != b"<...>":
            tally.comms[tid] = comm
        if tgid and tgid[:1] != b"-":
            tally.leaders[tid] = int(tgid)
        if call is not None and name == b"sys_enter":
            nr = int(call[1])
            asks = nr == self._ioctl and call[3] is not None
            self._pairs.enter(tid, ns, nr, int(call[3], 16) & 0xFFFFFFFF if asks else -1)
        elif call is not None:
            self._pairs.exit(tid, ns, int(call[1]), int(call[2]))
        elif name in _LIVES and mark == b":":
            life = life_of(name, tid, line[match.end() :])
            if life is not None:
                keep_life(tally, life)
        return True

    def _comment(self, line: bytes) -> None:
        written, tracer = _WRITTEN.match(line), _TRACER.match(line)
        if written:
            gone = max(0, int(written[2]) - int(written[1]))
            self.counts.overrun = min(self.counts.overrun + gone, MOST_NS)
        elif tracer and self.counts.tracer is None:
            self.counts.tracer = tracer[1]

    def _other(self, line: bytes) -> None:
        counts = self.counts
        lost = _LOST.match(line)
        if lost:
            known = counts.lost.setdefault(int(lost[1]), [0, 0])
            known[0] = min(known[0] + int(lost[2] or 0), MOST_NS)
            known[1] += lost[2] is None
        elif _HEAD.match(line):
            counts.trace_cmd = True
        elif self._talker or _CONTINUED.match(line):
            counts.continued += 1
        else:
            counts.unparsed += 1
            if len(counts.samples) < SAMPLES:
                counts.samples.append((counts.lines, line[:SAMPLE_BYTES]))


def life_of(name: bytes, tid: int, rest: bytes) -> Life | None:
    """The Life of a record by event name and the text behind it; None when it does not parse."""
    match = _LIVES[name].match(rest)
    if match is None:
        return None
    named = match.groupdict()
    flags, old = named.get("flags"), named.get("old")
    return Life(
        name.decode("ascii").removeprefix("sched_process_").removeprefix("task_"),
        tid,
        int(named["a"]),
        int(flags, 16) if flags else int(old or 0),
        named.get("text") or b"",
    )


class FtraceText:
    """The reader (see ``kfoot.readers.base.Reader``)."""

    name = "ftrace-text"

    def sniff(self, path: Path, head: bytes) -> bool:
        found = head[:LONGEST].split(b"\n")
        if any(_WRITTEN.match(line) or line.startswith(b"# tracer: ") for line in found[:8]):
            return True
        scanner = Scanner()
        scanner.feed(found[:200])
        return scanner.counts.records > scanner.counts.unparsed

    def read(self, paths: Sequence[Path], options: Options) -> Reading:
        """Several files are read one behind the other, as one trace cut into pieces."""
        until, ioctl = until_ns(options.until_s), ioctl_number(options.arch)
        losses: list[Loss] = []
        scanner = native_scanner(until, ioctl) or Scanner(until_ns=until, ioctl=ioctl)
        for path in paths:
            broken = scanner.read(path, options.progress)
            if broken:
                losses.append(Loss("truncated", f"{path.name}: {broken}", None))
        return reading_of(scanner.end(), paths, options, losses)


def reading_of(
    counts: TextTally, paths: Sequence[Path], options: Options, losses: list[Loss]
) -> Reading:
    """The Reading of a text tally. Raises InputError when no line was a record."""
    where = ", ".join(path.name for path in paths)
    if counts.records == 0 and counts.unparsed:
        raise InputError(
            paths[0],
            f"none of {counts.lines} lines is a trace record",
            where=f"line {counts.samples[0][0]}",
            expected="comm-pid [cpu] seconds: event: ...",
        )
    reading = finish(
        counts.tally,
        format="ftrace-text",
        source=where,
        arch=options.arch,
        describe=lambda event: (None, bytes(event).decode("ascii")),  # type: ignore[call-overload]
    )
    if counts.tracer is not None:
        reading.facts.tool = f"ftrace {counts.tracer.decode('ascii')}"
    elif counts.trace_cmd:
        reading.facts.tool = "trace-cmd report"
    reading.unparsed = counts.unparsed
    reading.continued = counts.continued
    reading.samples = [
        (number, line.decode("utf-8", "backslashreplace")) for number, line in counts.samples
    ]
    reading.losses += losses
    if counts.overrun:
        reading.losses.append(Loss("overrun", f"{where}: ring buffer", counts.overrun))
    else:
        for cpu, (events, silent) in sorted(counts.lost.items()):
            known = None if silent else events
            reading.losses.append(Loss("overrun", f"{where}: CPU {cpu}", known))
    if counts.unparsed:
        reading.losses.append(Loss("unparsed", where, counts.unparsed))
    return reading


def _pieces(source: Source, progress: Progress | None) -> Iterator[bytes]:
    while block := source.read(BLOCK):
        yield block
        if progress is not None:
            progress(source.position, source.size)


def native_scanner(until: int | None, ioctl: int) -> NativeText | None:
    """The native scanner, where there is one."""
    from kfoot.readers.native import native

    module = native()
    return NativeText(module, until, ioctl) if module is not None else None


class NativeText:
    """``Scanner`` for gigabytes: the same counts by ``kfoot._native``."""

    def __init__(
        self,
        module: ModuleType,
        until: int | None,
        ioctl: int,
        threads: int = 0,
        piece: int = PIECE,
    ):
        from kfoot.readers.native import threads_here

        most = (1 << 64) - 1 if until is None else until
        self._text = module.Text(
            threads=threads or threads_here(), until=most, ioctl=ioctl, piece=piece
        )
        self._tally = Tally()

    def read(self, path: Path, progress: Progress | None = None) -> str | None:
        """Count a file; gives why a compressed one ended early."""
        with Source(path) as source:
            if source.plain and source.size:
                return self._plain(source, progress)
        from kfoot.readers.native import whole_lines

        pieces = whole_lines(path, LONGEST, progress)
        for piece in pieces:
            self.feed(piece)
        return pieces.broken

    def _plain(self, source: Source, progress: Progress | None) -> str | None:
        self._text.read(source.fileno(), source.size)
        try:
            while step := self._text.step():
                done, lives = step
                self._keep(lives)
                if progress is not None:
                    progress(done, source.size)
        except OSError as error:
            return str(error)
        finally:
            self._text.stop()
        return None

    def feed(self, piece: bytes | memoryview) -> None:
        """Count whole lines."""
        self._keep(self._text.feed(piece))

    def _keep(self, lives: list[tuple[bytes, int, bytes]]) -> None:
        for name, tid, rest in lives:
            life = life_of(name, tid, rest)
            if life is not None:
                keep_life(self._tally, life)

    def end(self) -> TextTally:
        found = self._text.end()
        tally = self._tally
        for name in ("events", "calls", "comms", "leaders", "first", "last", "timed"):
            setattr(tally, name, found[name])
        return TextTally(
            tally,
            lines=found["lines"],
            records=found["records"],
            unparsed=found["unparsed"],
            continued=found["continued"],
            samples=found["samples"],
            lost=found["lost"],
            overrun=found["overrun"],
            tracer=found["tracer"] or None,
            trace_cmd=found["trace_cmd"],
        )


READER = FtraceText()
