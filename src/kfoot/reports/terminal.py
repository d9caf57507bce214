"""The summary after a run: one screen that says what was used, and what is not known.

Everything is put together from ``rich.text.Text``, never from markup: names in a footprint are
hostile. Colours only where the output is a terminal and NO_COLOR is not set (rich sees to both).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING

from kfoot.reports import text
from kfoot.reports.digest import LETTERS, TIERS, AreaLine, Digest, digest, letters
from kfoot.reports.tables import Footprint, Row

if TYPE_CHECKING:
    from rich.console import Console

LABEL = 14
AREAS = 8
BAR = 10
_NARROW = ("i386", "arm", "x32")
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_PLAIN = str.maketrans({"–": "-", "…": "~", "·": "|", "×": "x", "µ": "u", "—": "-"})


def print_summary(
    footprint: Footprint, file: IO[str] | None = None, width: int | None = None
) -> None:
    """Print the summary of ``footprint`` to ``file`` (default: stderr), about 40 lines at most.

    ``width`` in columns; default: the terminal's, or 80.
    """
    from rich.console import Console

    file = sys.stderr if file is None else file
    console = Console(file=file, width=width, highlight=False, emoji=False, markup=False)
    if width is None and not console.is_terminal:
        console.width = 80
    _Summary(console, digest(footprint)).print()


_OUTCOMES = {"exit 0": "green", "imported": "", "watched": "", "exit status unknown": ""}
"""Outcomes that are no failure of the workload."""


class _Summary:
    """Lines of one summary on one console."""

    def __init__(self, console: Console, facts: Digest):
        self.console = console
        self.facts = facts
        self.width = max(40, console.width)
        self.fancy = (console.encoding or "ascii").lower().replace("-", "").startswith("utf")

    def print(self) -> None:
        self._head()
        self._evidence()
        self._areas()
        facts = self.facts
        self._items("system calls", _calls(facts.syscalls), 3, "syscalls")
        self._items(
            "ioctls",
            [f"{name} ×{text.count(calls)} {driver}" for name, driver, calls in facts.ioctls],
            5,
            "ioctls",
        )
        self._items(
            "devices", [f"{name} ({driver})" for name, driver, _ in facts.devices], 3, "objects"
        )
        self._items(
            "objects",
            [what if number == 1 else f"{what} ×{number:,}" for what, number in facts.objects],
            2,
            "objects",
        )
        self._items(
            "failed calls",
            [f"{name} {errno} ×{number:,}" for name, errno, number in facts.failures],
            3,
            "syscalls",
        )
        self._items("modules", facts.modules, 2, "modules")
        self._items(
            "unmapped", [text.times(number, kind) for kind, number in facts.unmapped], 1, "unmapped"
        )

    def _head(self) -> None:
        facts = self.facts
        style = _OUTCOMES.get(facts.outcome)
        tail = facts.outcome if style is not None else f"{facts.outcome} !"
        room = self.width - len(tail) - 8
        self._line(
            ("kfoot ", "bold"),
            (text.shorten(facts.use_case or facts.command, room).ljust(room + 1), "bold"),
            (tail, "red" if style is None else style),
        )
        if facts.use_case:
            self._field("use cases" if "use cases" in facts.use_case else "command", facts.command)
        calls = "calls not counted" if facts.calls is None else text.times(facts.calls, "call")
        if facts.failed:
            calls += f" ({facts.failed:,} failed)"
        parts = [facts.duration, calls, text.times(facts.processes, "process", "processes")]
        if facts.replicates > 1:
            parts.append(f"{facts.replicates} captures")
        self._items("measured", [*parts, facts.machine], 2, None)
        if facts.in_all is not None:
            common = f"{text.times(facts.in_all, 'section')} in all captures"
            some = f"in some only: {len(facts.in_some)}"
            self._items("seen", [common, some, *facts.in_some], 2, "sections")

    def _evidence(self) -> None:
        facts = self.facts
        style = {True: "green", False: "bold red", None: "yellow"}[facts.valid]
        by = ", ".join(facts.collectors) or "no collector"
        words = [facts.verdict, by, f"atlas {facts.atlas}", *facts.checks]
        self._items("evidence", words, 3, None, style)
        self._items("losses", facts.losses, 2, None, "red")
        self._items("not recorded", facts.not_recorded, 2, None, "yellow")
        self._items("note", facts.notes, 3, None)

    def _areas(self) -> None:
        areas = self.facts.areas
        if not areas:
            return
        absent = self.facts.unmeasured
        legend = "  ".join(f"{LETTERS[tier]} {tier}" for tier in TIERS if tier not in absent)
        if absent:
            legend += f" · {' '.join(LETTERS[tier] for tier in absent)} not measured"
        name_width = min(20, max(len(line.name) for line in areas[:AREAS]))
        self._line(
            ("areas".ljust(LABEL), "bold"),
            (text.shorten(f"{legend} · log scale", self.width - LABEL - 1), "dim"),
        )
        top = max(line.most for line in areas) or 1
        for line in areas[:AREAS]:
            self._area(line, name_width, top)
        rest = [f"{line.name} {letters(line.tiers).replace(' ', '')}" for line in areas[AREAS:]]
        if rest:
            self._items("and", rest, 1, "areas")

    def _area(self, line: AreaLine, name_width: int, top: int) -> None:
        name = text.shorten(line.name, name_width).rjust(name_width)
        number = text.count(line.most).rjust(9)
        head = f"{name} {self._bar(line.most, top)} {number} {letters(line.tiers)} "
        names = _join(line.sections, self.width - len(head) - 1, "; ")
        self._line((head[: name_width + 1], ""), (head[name_width + 1 :], "cyan"), (names, "dim"))

    def _bar(self, value: int, top: int) -> str:
        share = math.log1p(value) / math.log1p(top)
        if not self.fancy:
            return ("#" * max(1, round(share * BAR)) if value else "").ljust(BAR)
        eighths = max(1, round(share * BAR * 8)) if value else 0
        return ("█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")).ljust(BAR)

    def _items(
        self, label: str, items: Sequence[str], lines: int, table: str | None, style: str = ""
    ) -> None:
        """A labelled list on at most ``lines`` lines; what does not fit is counted."""
        if not items:
            return
        for number, row in enumerate(_wrap(items, self.width - LABEL - 1, lines, table)):
            self._field(label if number == 0 else "", row, style)

    def _field(self, label: str, value: str, style: str = "") -> None:
        self._line(
            (label.ljust(LABEL), "bold"), (text.shorten(value, self.width - LABEL - 1), style)
        )

    def _line(self, *parts: tuple[str, str]) -> None:
        from rich.text import Text

        line = Text(no_wrap=True, overflow="ellipsis", end="\n")
        for value, style in parts:
            line.append(self._safe(value), style=style)
        line.rstrip()
        self.console.print(line, soft_wrap=True)

    def _safe(self, value: str) -> str:
        """``value`` in what the output's encoding can carry."""
        if self.fancy:
            return value
        plain = value.translate(_PLAIN)
        encoding = self.console.encoding or "ascii"
        try:
            plain.encode(encoding)
        except (UnicodeEncodeError, LookupError):
            plain = plain.encode("ascii", "backslashreplace").decode("ascii")
        return plain


def _calls(rows: Sequence[Row]) -> list[str]:
    """Where calls were made by several ABIs, those of the narrow ones are marked: one name may
    stand for two calls."""
    several = len({row.get("abi") for row in rows}) > 1
    found = []
    for row in rows:
        name = text.clean(row.get("name") or f"nr {row.get('nr')}")
        if several and row.get("abi") in _NARROW:
            name = f"{row['abi']} {name}"
        errors = row.get("errors")
        failed = f" ({errors:,} failed)" if errors else ""
        found.append(f"{name} {text.count(row.get('calls'))}{failed}")
    return found


def _join(items: Iterable[str], room: int, between: str) -> str:
    """As many of ``items`` as fit, and how many did not."""
    items = list(items)
    if room < 8:
        return ""
    for kept in range(len(items), 0, -1):
        left = len(items) - kept
        value = between.join(items[:kept]) + (f" +{left}" if left else "")
        if len(value) <= room:
            return value
    return text.shorten(items[0], room) if items else ""


def _wrap(items: Sequence[str], room: int, lines: int, table: str | None) -> list[str]:
    """``items`` on at most ``lines`` lines of ``room`` columns, " · " between them."""
    rows: list[str] = []
    for done, item in enumerate(items):
        item = text.shorten(item, room)
        if rows and len(rows[-1]) + len(item) + 3 <= room:
            rows[-1] += f" · {item}"
        elif len(rows) < lines:
            rows.append(item)
        else:
            return [*rows[:-1], _more(rows[-1], len(items) - done, room, table)]
    return rows


def _more(row: str, left: int, room: int, table: str | None) -> str:
    note = f" … {left:,} more" + (f": kfoot show --csv {table}" if table else "")
    parts = row.split(" · ")
    while len(parts) > 1 and len(" · ".join(parts)) + len(note) > room:
        parts.pop()
        left += 1
        note = f" … {left:,} more" + (f": kfoot show --csv {table}" if table else "")
    return text.shorten(" · ".join(parts), max(5, room - len(note))) + note
