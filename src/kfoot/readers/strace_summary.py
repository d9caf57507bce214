"""Reader ``strace-summary``: the tables of ``strace -c``, and published copies of them as CSV.

``-f`` adds nothing to a table, ``-w`` changes the meaning of its seconds (wall clock instead of
system time), ``-U`` and ``-S`` choose and order the columns. A program of several personalities
gives one table each. A table without its total row was cut.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path

from kfoot.errors import InputError
from kfoot.readers.base import Options
from kfoot.readers.files import Lines
from kfoot.readers.reading import CallCount, CallKey, Facts, Loss, Process, Reading
from kfoot.readers.strace_line import abi_of_mode

NAME = "strace-summary"
SAMPLES = 5
_SAMPLE_WIDTH = 160

_DASHES = re.compile(r"\s*-{3,}(?:\s+-{3,})*\s*$")
_PERSONALITY = re.compile(r"System call usage summary for (.{1,40}) mode:\s*$")
_SYSCALL = re.compile(r"[A-Za-z_]\w{0,63}$")
_NUMBER = re.compile(r"\d{1,18}$")
_SECONDS = re.compile(r"\d{1,12}(?:\.\d{1,12})?(?:[eE]-\d{1,2})?$")
_COLUMNS = {"%time", "seconds", "shortest", "longest", "usecs/call", "calls", "errors", "syscall"}
_CSV = re.compile(r"(?:[\w ./%]+,)*syscall,(?:[\w ./%]+,)*calls(?:,|\s*$)")


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    calls: int
    errors: int
    seconds: float | None


@dataclass(slots=True)
class _Table:
    abi: str | None = None
    rows: list[_Row] = field(default_factory=list)
    total: _Row | None = None


class StraceSummary:
    """The reader (see ``kfoot.readers.base.Reader``)."""

    name = NAME

    def sniff(self, path: Path, head: bytes) -> bool:
        lines = head.decode("utf-8", "replace").split("\n")
        if _CSV.match(lines[0].removeprefix("\ufeff")):
            return True
        return any(_header(line) and _DASHES.match(below) for line, below in pairwise(lines))

    def read(self, paths: Sequence[Path], options: Options) -> Reading:
        """Read one file. Raises InputError when there is no row of a table in it."""
        path = paths[0]
        lines = Lines(path, options)
        reading = Reading(NAME, path.name, facts=Facts(tool="strace -c"))
        rows = iter(lines)
        first = next(rows, "").removeprefix("\ufeff")
        if _CSV.match(first):
            tables = [_csv(first, rows, reading)]
        else:
            tables = _tables(chain((first,), rows), reading, options)
        reading.losses.extend(lines.losses)
        if not any(table.rows for table in tables):
            raise InputError(path, "holds no row of a table", expected="a table of `strace -c`")
        reading.processes.append(Process(0))
        for table in tables:
            _count(table, reading)
        return reading


def _header(line: str) -> list[str] | None:
    """The columns of a table's first line; None when it is none."""
    words = line.replace("% time", "%time").split()
    if "syscall" in words and "calls" in words and set(words) <= _COLUMNS:
        return words
    return None


def _tables(lines: Iterator[str], reading: Reading, options: Options) -> list[_Table]:
    tables: list[_Table] = []
    columns: list[str] | None = None
    abi: str | None = None
    for number, line in enumerate(lines, 1):
        personality = _PERSONALITY.match(line)
        header = _header(line)
        if personality:
            abi, columns = abi_of_mode(personality[1], options.arch), None
        elif header:
            columns = header
            tables.append(_Table(abi))
        elif not line.strip() or _DASHES.match(line):
            continue
        else:
            row = _row(line, columns) if columns else None
            if row is None:
                _miss(reading, number, line)
            elif row.name == "total":
                tables[-1].total, columns = row, None
            else:
                tables[-1].rows.append(row)
    for table in tables:
        _check(table, reading)
    return tables


def _row(line: str, columns: list[str]) -> _Row | None:
    """A row; only its errors may be blank. None when it is none."""
    words = line.split()
    if len(words) == len(columns):
        cells = dict(zip(columns, words, strict=True))
    elif len(words) == len(columns) - 1 and "errors" in columns:
        cells = dict(zip((name for name in columns if name != "errors"), words, strict=True))
    else:
        return None
    return _cells(cells)


def _cells(cells: dict[str, str]) -> _Row | None:
    name, calls = cells["syscall"], cells["calls"]
    errors, seconds = cells.get("errors") or "0", cells.get("seconds") or None
    if not (_SYSCALL.match(name) and _NUMBER.match(calls) and _NUMBER.match(errors)):
        return None
    if seconds is not None and not _SECONDS.match(seconds):
        return None
    if int(errors) > int(calls):
        return None
    return _Row(name, int(calls), int(errors), None if seconds is None else float(seconds))


def _csv(header: str, lines: Iterator[str], reading: Reading) -> _Table:
    """A published table: columns syscall and calls, and errors and seconds where it has them."""
    columns = [word.strip() for word in next(csv.reader([header]))]
    table = _Table()
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        try:
            words = [word.strip() for word in next(csv.reader([line]), [])]
        except csv.Error:
            words = []
        row = _cells(dict(zip(columns, words, strict=True))) if len(words) == len(columns) else None
        if row is None:
            _miss(reading, number, line)
        elif row.name != "total":
            table.rows.append(row)
    return table


def _check(table: _Table, reading: Reading) -> None:
    """A table without a total was cut; one whose total is not the sum of its rows as well."""
    if table.total is None:
        reading.losses.append(Loss("truncated", f"{reading.source}: no total row", None))
        return
    for what, total, found in (
        ("calls", table.total.calls, sum(row.calls for row in table.rows)),
        ("errors", table.total.errors, sum(row.errors for row in table.rows)),
    ):
        if total != found:
            where = f"{reading.source}: {what} of the total row, less those of the rows"
            reading.losses.append(Loss("truncated", where, total - found))


def _count(table: _Table, reading: Reading) -> None:
    """Errors have no errno here: "?". The time is not split by outcome and goes to the first."""
    for row in table.rows:
        seconds = row.seconds
        for outcome, calls in (("ok", row.calls - row.errors), ("?", row.errors)):
            if calls:
                key = CallKey(0, table.abi, None, row.name, outcome)
                count = reading.calls.setdefault(key, CallCount())
                count.calls += calls
                if seconds is not None:
                    count.time_ns = (count.time_ns or 0) + round(seconds * 1e9)
                    seconds = 0.0


def _miss(reading: Reading, number: int, line: str) -> None:
    reading.unparsed += 1
    if len(reading.samples) < SAMPLES:
        reading.samples.append((number, line[:_SAMPLE_WIDTH]))


READER = StraceSummary()
