"""Ask a capture's tables in SQL.

  kfoot sql ls.kfoot "select name, calls from syscalls order by calls desc limit 5"
  kfoot sql "select * from areas"          the newest capture in the current directory
  kfoot sql ls.kfoot --tables              which tables and columns there are

The tables are those of the footprint (docs/footprint.md) and, from the traces, calls, steps,
process_events, tasks and losses. docs/sql.md has worked queries. Needs DuckDB: pip install
'kfoot[sql]'.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfoot.capture import Capture, newest
from kfoot.errors import KfootError

if TYPE_CHECKING:
    import pyarrow as pa

_WIDTH = 60
"""Characters of a cell on the terminal."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="[CAPTURE] QUERY", help="a capture folder, and a query"
    )
    parser.add_argument("--tables", action="store_true", help="list the tables and their columns")
    form = parser.add_mutually_exclusive_group()
    for name in ("json", "csv", "markdown"):
        form.add_argument(
            f"--{name}", dest="format", action="store_const", const=name, help=f"print {name}"
        )


def run(args: argparse.Namespace) -> int:
    words = list(args.words)
    query = None if args.tables else words.pop() if words else None
    if len(words) > 1 or (query is None and not args.tables):
        raise KfootError(
            "give a capture and one query",
            hint='kfoot sql ls.kfoot "select * from areas"; quote the query',
        )
    tables = tables_of(Path(words[0]) if words else newest(Path.cwd()))
    if args.tables:
        from kfoot.tables import FOOTPRINT, RECORDED

        names = [
            {"table": name, "column": column, "type": kind}
            for name, types in (FOOTPRINT | RECORDED).items()
            if name in tables
            for column, kind in types.items()
        ]
        columns, rows = ["table", "column", "type"], [list(row.values()) for row in names]
    else:
        columns, rows = ask(tables, str(query))
    sys.stdout.write(_FORMATS[args.format or "text"](columns, rows))
    return 0


def tables_of(path: Path) -> dict[str, pa.Table]:
    """All tables of a capture folder, read from its Parquet files or made first; of a bare
    footprint.json only the footprint's own."""
    from kfoot import tables
    from kfoot.footprint import load

    footprint = load(path)
    if path.is_file():
        return tables.from_footprint(footprint)
    capture = Capture.open(path)
    names = [*tables.FOOTPRINT, *tables.RECORDED]
    files = [capture.tables / f"{name}.parquet" for name in names]
    made = capture.footprint_file.stat().st_mtime_ns
    if not all(file.is_file() and file.stat().st_mtime_ns >= made for file in files):
        from kfoot.footprint.derive import read_raw

        found = tables.from_footprint(footprint) | tables.from_readings(read_raw(capture))
        tables.write(capture.tables, found)
        return found
    import pyarrow.parquet as pq

    return {name: pq.read_table(file) for name, file in zip(names, files, strict=True)}


def ask(tables: Mapping[str, pa.Table], query: str) -> tuple[list[str], list[list[Any]]]:
    """Column names and rows of a query's answer. Raises KfootError for what DuckDB refuses."""
    try:
        import duckdb
    except ImportError:
        raise KfootError(
            "DuckDB is not installed", hint="pip install 'kfoot[sql]', or pip install duckdb"
        ) from None
    with duckdb.connect() as base:
        for name, table in tables.items():
            base.register(name, table)
        try:
            answer = base.execute(query)
            columns = [column[0] for column in answer.description or []]
            return columns, [list(row) for row in answer.fetchall()]
        except duckdb.Error as error:
            raise KfootError(
                f"the query fails: {str(error).strip()}",
                hint="`kfoot sql CAPTURE --tables` lists tables and columns",
            ) from None


def _cell(value: Any) -> str:
    from kfoot.reports import text

    if value is None:
        return ""
    if isinstance(value, dict):
        return " ".join(f"{text.clean(key)}={number}" for key, number in sorted(value.items()))
    if isinstance(value, list):
        return text.listed(value)
    return text.clean(value)


def as_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    from kfoot.reports import text

    body = [[text.shorten(_cell(value), _WIDTH) for value in row] for row in rows]
    heads = [text.clean(name) for name in columns]
    widths = [max(map(len, column)) for column in zip(heads, *body, strict=True)]
    right = [any(isinstance(row[at], int | float) for row in rows) for at in range(len(columns))]
    lines = [heads, ["-" * width for width in widths], *body]
    return "".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, right, strict=True)
        ).rstrip()
        + "\n"
        for line in lines
    )


def _as_json(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    return json.dumps(found, indent=1, default=str) + "\n"


def _as_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    from kfoot.reports.plain import tame

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(
            [value if isinstance(value, int | float) else tame(_cell(value)) for value in row]
        )
    return out.getvalue()


def _as_markdown(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    from kfoot.reports.plain import escape_markdown, markdown_table

    right = [any(isinstance(row[at], int | float) for row in rows) for at in range(len(columns))]
    body = [[_cell(value) for value in row] for row in rows]
    return "\n".join(markdown_table([escape_markdown(c) for c in columns], body, right)) + "\n"


_FORMATS = {"text": as_text, "json": _as_json, "csv": _as_csv, "markdown": _as_markdown}
