"""What the texts of perf and babeltrace2 have in common: records of events, counted.

Calls come from ``raw_syscalls`` (numbers) or, where there is none, from events named after the call
(``syscalls:sys_enter_read``, ``syscall_entry_read``); both meet in the same ``Pairs``.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kfoot.errors import InputError
from kfoot.readers.base import Options
from kfoot.readers.call_counts import CallTable, Pairs
from kfoot.readers.event_counts import EventTable
from kfoot.readers.ftrace_tally import Tally, finish, until_ns
from kfoot.readers.reading import Loss, Reading

SAMPLES = 5
_SAMPLE_WIDTH = 160
_NAMED = 1 << 40
"""Numbers from here on stand for calls known by name only."""


@dataclass(slots=True)
class EventText:
    """Counts of one text."""

    options: Options
    events: EventTable = field(default_factory=EventTable)
    tally: Tally = field(init=False)
    records: int = 0
    unparsed: int = 0
    continued: int = 0
    samples: list[tuple[int, str]] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    lost: int = 0
    pairs: Pairs = field(init=False)
    named: Pairs = field(init=False)
    _calls: CallTable = field(default_factory=CallTable)
    _named_calls: CallTable = field(default_factory=CallTable)
    _numbers: dict[str, int] = field(default_factory=dict)
    _names: list[tuple[str, str | None]] = field(default_factory=list)
    _until: int | None = field(init=False)

    def __post_init__(self) -> None:
        self.tally = Tally(self.events, self._calls)
        self.pairs = Pairs(self._calls)
        self.named = Pairs(self._named_calls)
        self._until = until_ns(self.options.until_s)

    def event(self, tid: int, ns: int | None, name: tuple[str | None, str], context: int) -> bool:
        """Count a record; False when it is later than the trim. ``ns`` None: it has no time."""
        if ns is not None:
            if self._until is not None and ns > self._until:
                return False
            tally = self.tally
            tally.first = ns if tally.first is None else min(tally.first, ns)
            tally.last = ns if tally.last is None else max(tally.last, ns)
        self.events.record(tid, name, context)
        self.records += 1
        return True

    def number(self, name: str, abi: str | None = None) -> int:
        """A number that stands for a call known by name."""
        word = f"{abi or ''} {name}"
        if word not in self._numbers:
            self._numbers[word] = _NAMED + len(self._names)
            self._names.append((name, abi))
        return self._numbers[word]

    def miss(self, line_number: int, line: str) -> None:
        """A line that is no record."""
        self.unparsed += 1
        if len(self.samples) < SAMPLES:
            self.samples.append((line_number, line[:_SAMPLE_WIDTH]))

    def reading(self, format: str, paths: Sequence[Path], arch: str | None) -> Reading:
        """The result. Raises InputError when no line was a record."""
        where = ", ".join(path.name for path in paths)
        if not self.records:
            raise InputError(
                paths[0],
                "holds no record of an event",
                where=f"line {self.samples[0][0]}" if self.samples else None,
                expected=f"{format} text",
            )
        self.pairs.end()
        self.named.end()
        if not self.tally.calls:
            self.tally.calls = self._named_calls
            self.tally.abi_told = True
        reading = finish(self.tally, format=format, source=where, arch=arch, describe=_described)
        reading.calls = {
            (
                key._replace(
                    nr=None,
                    name=self._names[key.nr - _NAMED][0],
                    abi=self._names[key.nr - _NAMED][1] or key.abi,
                )
                if key.nr is not None and key.nr >= _NAMED
                else key
            ): count
            for key, count in reading.calls.items()
        }
        reading.unparsed, reading.continued = self.unparsed, self.continued
        reading.samples = self.samples
        reading.losses += self.losses
        if self.lost:
            reading.losses.append(Loss("overrun", f"{where}: events the tracer lost", self.lost))
        return reading


def _described(event: Hashable) -> tuple[str | None, str]:
    assert isinstance(event, tuple)
    return event[0], event[1]


def nanoseconds(seconds: str, fraction: str) -> int:
    """A time given as digits before and behind the point."""
    return int(seconds) * 10**9 + int(fraction[:9].ljust(9, "0"))
