"""The footprint as Markdown or reStructuredText, for review in version control, and as CSV.

Markdown and RST say the same as the terminal's summary and list every table in full. Each format
escapes in one function: names come from a trace and may hold any markup.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence

from kfoot.reports import text
from kfoot.reports.digest import Digest, digest, emptiness
from kfoot.reports.tables import TABLES, Column, Footprint, Row, cell, columns, rows, table

_MARKDOWN = re.compile(r"[\\`*\[\]<>|&~$@]|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.")
"""What would start markup, an HTML tag or a link of its own in CommonMark or GitHub's Markdown."""
_RST = re.compile(r"[\\`*|@]|_(?!\w)|:(?=/|:|$)|^[^\w/]")
"""What would start markup or a link in reStructuredText, and any sign at the very start."""
_RST_LIST = re.compile(r"^\w+(?=[.)] )")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def head(facts: Digest) -> list[tuple[str, str]]:
    """What the head of every report says: label and value, values not yet escaped."""
    calls = "calls not counted" if facts.calls is None else text.times(facts.calls, "call")
    if facts.failed:
        calls += f", {facts.failed:,} failed"
    found = [
        ("use case", facts.use_case or "(not named)"),
        ("command", facts.command),
        ("outcome", f"{facts.outcome}, {facts.duration}"),
        ("measured", f"{calls}; {text.times(facts.processes, 'process', 'processes')}"),
        ("machine", facts.machine),
        ("evidence", facts.verdict),
    ]
    if facts.replicates > 1:
        found.append(("captures", f"{facts.replicates:,} merged"))
    if facts.in_all is not None:
        found.append(("sections in all captures", f"{facts.in_all:,}"))
    found += [("section in some", line) for line in facts.in_some]
    found += [("collector", name) for name in facts.collectors]
    found.append(("atlas", facts.atlas))
    found += [("loss", line) for line in facts.losses]
    found += [("compared", line) for line in facts.checks]
    if facts.unmeasured:
        found.append(("tiers not measured", ", ".join(facts.unmeasured)))
    found += [("not recorded", line) for line in facts.not_recorded]
    found += [("note", line) for line in facts.notes]
    found += [("module changed", line) for line in facts.modules]
    found += [("unmapped", text.times(number, kind)) for kind, number in facts.unmapped]
    return found


def markdown(footprint: Footprint) -> str:
    """The whole footprint as Markdown with pipe tables."""
    facts = digest(footprint)
    lines = [f"# Kernel footprint: {escape_markdown(facts.use_case or facts.command)}", ""]
    lines += markdown_table(
        ["", ""], [[label, value] for label, value in head(facts)], (False, False)
    )
    for found in TABLES:
        lines += ["", f"## {found.title}", "", found.about, ""]
        content = rows(footprint, found.key)
        if not content:
            lines.append(emptiness(footprint, found.key))
            continue
        heads = columns(footprint, found)
        lines += markdown_table(
            [column.title for column in heads],
            [[cell(row, column) for column in heads] for row in content],
            [column.numeric for column in heads],
        )
    return "\n".join(lines) + "\n"


def escape_markdown(value: str) -> str:
    """Text in which nothing is markup."""
    return _MARKDOWN.sub(_escape, value)


def _escape(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def markdown_table(heads: list[str], body: list[list[str]], right: Sequence[bool]) -> list[str]:
    """Lines of a pipe table; cells are escaped here. ``right``: which columns are numbers."""
    rule = ["---:" if numeric else "---" for numeric in right]
    return [
        _md_row(heads),
        f"| {' | '.join(rule)} |",
        *(_md_row([escape_markdown(value) for value in row]) for row in body),
    ]


def _md_row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def rst(footprint: Footprint) -> str:
    """The whole footprint as reStructuredText with list tables."""
    facts = digest(footprint)
    lines = _rst_title(f"Kernel footprint: {_rst(facts.use_case or facts.command)}", "=")
    lines += _rst_table(None, [[label, value] for label, value in head(facts)])
    for found in TABLES:
        lines += ["", *_rst_title(found.title, "-"), found.about, ""]
        content = rows(footprint, found.key)
        if not content:
            lines.append(emptiness(footprint, found.key))
            continue
        heads = columns(footprint, found)
        lines += _rst_table(
            [column.title for column in heads],
            [[cell(row, column) for column in heads] for row in content],
        )
    return "\n".join(lines) + "\n"


def _rst(value: str) -> str:
    return _RST_LIST.sub(r"\\\g<0>", _RST.sub(_escape, value))


def _rst_title(title: str, rule: str) -> list[str]:
    return [title, rule * len(title), ""]


def _rst_table(heads: list[str] | None, body: list[list[str]]) -> list[str]:
    lines = [".. list-table::"]
    if heads is not None:
        lines.append("   :header-rows: 1")
    lines.append("")
    for row in [*([heads] if heads is not None else []), *body]:
        for number, value in enumerate(row):
            lines.append(f"   {'*' if number == 0 else ' '} - {_rst(value)}".rstrip())
    return lines


def csv_table(footprint: Footprint, key: str) -> str:
    """One table as CSV: null is an empty cell, counts by name are ``NAME=N`` with spaces between.

    A text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    found = table(key)
    heads = columns(footprint, found)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.key for column in heads])
    for row in rows(footprint, key):
        writer.writerow([_raw(row, column) for column in heads])
    return out.getvalue()


def _raw(row: Row, column: Column) -> str:
    value = row.get(column.key)
    if value is None:
        return ""
    if column.kind == "pairs":
        found = sorted(value.items())
        return tame(" ".join(f"{text.clean(name)}={number}" for name, number in found))
    if column.kind == "list":
        return tame(text.listed(value))
    if column.kind == "argv":
        return tame(text.command(value))
    return str(value) if column.kind == "count" else tame(text.clean(value))


def tame(value: str) -> str:
    """A CSV cell that no spreadsheet runs as a formula."""
    return f"'{value}" if value.startswith(_FORMULA) else value


def as_json(footprint: Footprint) -> str:
    """The footprint as JSON, keys sorted, ASCII only so that no terminal can be driven by it."""
    return json.dumps(footprint, indent=1, sort_keys=True) + "\n"


FORMATS: dict[str, Callable[[Footprint], str]] = {
    "json": as_json,
    "markdown": markdown,
    "rst": rst,
}
"""Whole-footprint formats of ``kfoot show``."""
