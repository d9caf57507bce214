"""A static view as a document: facts, notes and tables; on a terminal, as Markdown, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kfoot.reports import text
from kfoot.reports.plain import escape_markdown, markdown_table

Cell = str | int | None


@dataclass(frozen=True, slots=True)
class Table:
    key: str
    title: str
    about: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    brief: int = 0
    """Rows shown on a terminal."""

    def numeric(self) -> list[bool]:
        """Which columns hold numbers only."""
        return [
            bool(self.rows) and all(not isinstance(row[at], str) for row in self.rows)
            for at in range(len(self.columns))
        ]


@dataclass(slots=True)
class Document:
    title: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is not known."""
    tables: list[Table] = field(default_factory=list)


def words(cell: Cell) -> str:
    """A cell as text: null stays distinguishable from 0 and ""."""
    if isinstance(cell, str):
        return text.clean(cell)
    return text.count(cell)


def terminal(document: Document) -> str:
    """The facts and the beginning of each table, in plain text."""
    width = max((len(label) for label, _ in document.facts), default=0)
    lines = [text.clean(document.title), ""]
    lines += [f"  {label:<{width}}  {text.clean(value)}" for label, value in document.facts]
    lines += [f"  {'note':<{width}}  {text.clean(note)}" for note in document.notes]
    for table in document.tables:
        lines += ["", f"{table.title} ({text.count(len(table.rows))})"]
        shown = [[words(cell) for cell in row] for row in table.rows[: table.brief]]
        lines += _aligned(table, shown)
        more = len(table.rows) - len(shown)
        if more and shown:
            lines.append(f"  … {more:,} more: --json, --markdown and --html list them")
    return "\n".join(lines) + "\n"


def _aligned(table: Table, rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    widths = [
        min(60, max(len(row[at]) for row in [list(table.columns), *rows]))
        for at in range(len(table.columns))
    ]
    right = table.numeric()

    def line(cells: Sequence[str]) -> str:
        parts = [
            f"{text.shorten(cell, width):>{width}}"
            if number
            else f"{text.shorten(cell, width):<{width}}"
            for cell, width, number in zip(cells, widths, right, strict=True)
        ]
        return f"  {'  '.join(parts).rstrip()}"

    return [line(table.columns), *map(line, rows)]


def markdown(document: Document) -> str:
    """All of it, with pipe tables."""
    lines = [f"# {escape_markdown(text.clean(document.title))}", ""]
    facts = [*document.facts, *(("note", note) for note in document.notes)]
    lines += markdown_table(
        ["", ""], [[label, text.clean(value)] for label, value in facts], (False, False)
    )
    for table in document.tables:
        lines += ["", f"## {table.title}", "", table.about, ""]
        if table.rows:
            body = [[words(cell) for cell in row] for row in table.rows]
            lines += markdown_table(list(table.columns), body, table.numeric())
        else:
            lines.append("None.")
    return "\n".join(lines) + "\n"


def html(document: Document) -> str:
    """All of it as one file that opens offline, in the report's dress."""
    from kfoot.reports.html import page

    tables: list[dict[str, Any]] = [
        {
            "key": table.key,
            "title": table.title,
            "about": table.about,
            "columns": list(zip(table.columns, table.numeric(), strict=True)),
            "rows": [
                [(words(cell), None if isinstance(cell, str) else cell) for cell in row]
                for row in table.rows
            ],
        }
        for table in document.tables
    ]
    return page(
        "static.html",
        title=text.clean(document.title),
        facts=[(label, text.clean(value)) for label, value in document.facts],
        notes=[text.clean(note) for note in document.notes],
        tables=tables,
    )
