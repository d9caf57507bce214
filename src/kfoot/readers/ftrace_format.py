"""What a kernel says about its own trace records: event formats and the ring buffer's page head.

Source: ``events/SYSTEM/NAME/format``, ``events/header_page`` and ``saved_cmdlines`` of tracefs
(Documentation/trace/events.rst, kernel/trace/trace_events.c), as collectors and trace.dat keep
them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

_NAME = re.compile(rb"^name: ?(\S+)", re.M)
_ID = re.compile(rb"^ID: ?(\d{1,5})\b", re.M)
_FIELD = re.compile(
    rb"^\s*field:([^;\n]{1,1000});\s*offset:(\d{1,9});\s*size:(\d{1,9});(?:\s*signed:([01]);)?",
    re.M,
)
_CMDLINE = re.compile(rb"^([0-9]{1,10}) (.*)$", re.M)
_TGID = re.compile(rb"^[ \t\r]*([0-9]{1,10})[ \t]+([0-9]{1,10})[ \t\r]*$", re.M)
_LEADERS = re.compile(rb"^(?:([0-9]{1,10}+) \1\n)++", re.M)
_FIRST = re.compile(rb"# ([^/\s]+)/\S+(?=\n(?:name: (\S+)\nID: (\d{1,5})\n)?)")
"""The head of a format file. The two lines behind it mostly tell name and number."""
_SECTION = re.compile(rb"\n" + _FIRST.pattern)
"""Begins with what it looks for: four times as fast as `^` on megabytes of formats."""


class Field(NamedTuple):
    """One field of a record. ``offset`` and ``size`` in bytes from the record's first byte."""

    name: str
    type: str
    offset: int
    size: int
    signed: bool


@dataclass
class EventFormat:
    """What a record of an event looks like."""

    system: str | None
    name: str
    id: int
    """common_type of its records."""
    text: bytes
    begin: int
    end: int
    """``text[begin:end]`` is the format file. A kernel has megabytes of them: none is copied."""

    @cached_property
    def fields(self) -> dict[str, Field]:
        """By name. Few events are looked into, so few are parsed."""
        found = {}
        for declaration, offset, size, signed in _FIELD.findall(self.text, self.begin, self.end):
            words = declaration.decode("ascii", "backslashreplace").rsplit(None, 1)
            label = words[-1].split("[")[0] if words else ""
            kind = words[0] if len(words) > 1 else ""
            found[label] = Field(label, kind, int(offset), int(size), signed == b"1")
        return found


class PageFormat(NamedTuple):
    """Where the parts of a sub-buffer are; all in bytes."""

    page: int = 4096
    """The whole sub-buffer, head included."""
    data: int = 16
    """Length of the head: records begin here."""
    commit: int = 8
    """Size of the commit word, which is the kernel's long."""
    big_endian: bool = False


def parse_event(
    text: bytes, system: str | None, begin: int = 0, end: int | None = None
) -> EventFormat | None:
    """One ``format`` file, ``text[begin:end]``; None when it has no name or number.

    ``begin`` is that of a line, or of the line end before it.
    """
    end = len(text) if end is None else end
    name, number = _NAME.search(text, begin, end), _ID.search(text, begin, end)
    if name is None or number is None:
        return None
    return _event(system, name[1], number[1], text, begin, end)


def _event(
    system: str | None, name: bytes, number: bytes, text: bytes, begin: int, end: int
) -> EventFormat | None:
    id = int(number)
    if id > 0xFFFF:
        return None
    return EventFormat(system, name.decode("ascii", "backslashreplace"), id, text, begin, end)


def parse_formats(text: bytes) -> dict[int, EventFormat]:
    """``formats.txt`` of a capture: format files, each under a line ``# SYSTEM/NAME``."""
    found = {}
    heads = list(_SECTION.finditer(text))
    if first := _FIRST.match(text):
        heads.insert(0, first)
    ends = [*(head.start() for head in heads[1:]), len(text)]
    for head, end in zip(heads, ends, strict=False):  # no heads, one end
        system = head[1].decode("ascii", "backslashreplace")
        _, name, number = head.groups()
        if name is not None:
            event = _event(system, name, number, text, head.end(), end)
        else:
            event = parse_event(text, system, head.end(), end)
        if event is not None:
            found[event.id] = event
    return found


def parse_page(header_page: bytes, *, big_endian: bool = False) -> PageFormat | None:
    """``events/header_page``; None when it is not one, or no page could look like that."""
    fields = {
        declaration.split()[-1]: (int(offset), int(size))
        for declaration, offset, size, _ in _FIELD.findall(header_page)
        if declaration.split()
    }
    if b"data" not in fields or b"commit" not in fields:
        return None
    data, length = fields[b"data"]
    at, commit = fields[b"commit"]
    page = data + length
    if at != 8 or commit not in (4, 8) or data != at + commit or not 64 <= page <= 1 << 24:
        return None
    return PageFormat(page, data, commit, big_endian)


def cmdlines(text: bytes) -> dict[int, bytes]:
    """``saved_cmdlines``: a line ``PID COMM`` each (comm may hold spaces)."""
    return {int(pid): comm for pid, comm in _CMDLINE.findall(text)}


def tgids(text: bytes) -> dict[int, int]:
    """``saved_tgids``, a line ``TID TGID`` each: those of threads that do not lead their group.

    It tells of all tasks there were, tens of thousands, and nearly all lead their own.
    """
    return {int(tid): int(tgid) for tid, tgid in _TGID.findall(_LEADERS.sub(b"", text))}


_LOST_BY_STATISTIC = {
    b"overrun": "overrun",
    b"commit overrun": "overrun",
    b"dropped events": "dropped",
}


def cpu_losses(statistics: bytes) -> dict[str, int]:
    """Losses that a ``per_cpu/cpuN/stats`` file tells of, by kind, without zeros."""
    lost: dict[str, int] = {}
    for line in statistics.split(b"\n"):
        name, _, value = line.partition(b":")
        kind, digits = _LOST_BY_STATISTIC.get(name.strip()), value.strip()
        if kind is not None and digits.isdigit() and len(digits) < 19 and int(digits):
            lost[kind] = lost.get(kind, 0) + int(digits)
    return lost
