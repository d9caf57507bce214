"""The report: one HTML file that opens offline, with tables, the system view and flowcharts.

Everything is inside the file. Its content security policy allows exactly the style and the script
that kfoot put there, by their hashes, and no request to anywhere. It is readable without script.
"""

from __future__ import annotations

import base64
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from kfoot.footprint.flow import Chart, Command
from kfoot.reports import flowchart, flowtext, svg, text
from kfoot.reports.digest import LETTERS, TIERS, digest, emptiness, letters
from kfoot.reports.systemview import system_view
from kfoot.reports.tables import TABLES, Column, Footprint, Row, cell, columns, rows

TEMPLATES = Path(__file__).parent / "templates"
MAX_ROWS = 20_000
"""Rows of one table in the file; a browser still scrolls and sorts that many."""
MAX_CHARTS = 24
"""Charts drawn; further commands are listed by name."""


class Cell(NamedTuple):
    """One table cell: text, what it sorts by (None: by its text), and whether it is a number."""

    text: str
    sort: float | None
    numeric: bool


class Folded(NamedTuple):
    """A box of a chart that can be opened."""

    anchor: str
    title: str
    lines: list[str]


def render(
    footprint: Footprint,
    chart: Chart | None = None,
    *,
    baseline: Footprint | None = None,
    note: str | None = None,
) -> str:
    """The report as the text of an HTML file.

    ``chart`` holds the commands' flows (None: none were recorded), ``baseline`` a footprint that
    the system view is compared with, ``note`` a sentence to show at the top.
    """
    facts = digest(footprint)
    return page(
        "report.html",
        title=facts.use_case or facts.command,
        facts=facts,
        note=note,
        tiers=TIERS,
        letter=LETTERS,
        letters=lambda line: letters(line.tiers),
        bar=_bar(max((line.most for line in facts.areas), default=0)),
        view=svg.draw(system_view(footprint, baseline)),
        charts=_charts(chart),
        uncharted=[command.name for command in chart.commands[MAX_CHARTS:]] if chart else [],
        steps_cut=chart.steps_cut if chart else 0,
        no_devices=emptiness(footprint, "objects"),
        no_dot=flowchart.available(),
        tables=[_table(footprint, found) for found in TABLES],
        max_rows=MAX_ROWS,
        provenance=_provenance(footprint),
        hashes=_hashes(footprint),
    )


def page(template: str, **values: Any) -> str:
    """A template as one HTML file, with the report's style and script inside."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": text.count, "times": text.times}
    style = (TEMPLATES / "style.css").read_text("utf-8")
    script = (TEMPLATES / "table.js").read_text("utf-8")
    return environment.get_template(template).render(
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        **values,
    )


def _bar(top: int) -> Callable[[int], float]:
    """Length of a bar, 0 to 1, on a logarithmic scale."""
    return lambda value: math.log1p(value) / math.log1p(top) if top else 0.0


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _table(footprint: Footprint, found: Any) -> dict[str, Any]:
    content = rows(footprint, found.key)
    heads = columns(footprint, found)
    return {
        "key": found.key,
        "title": found.title,
        "about": found.about,
        "columns": heads,
        "total": len(content),
        "empty": emptiness(footprint, found.key),
        "rows": [[_cell(row, column) for column in heads] for row in content[:MAX_ROWS]],
    }


def _cell(row: Row, column: Column) -> Cell:
    value = row.get(column.key)
    if column.kind == "pairs" and value:
        return Cell(cell(row, column), sum(number or 0 for number in value.values()), False)
    number = value if isinstance(value, (int, float)) else None
    return Cell(cell(row, column), number if column.numeric else None, column.numeric)


def _charts(chart: Chart | None) -> list[dict[str, Any]]:
    found = []
    until = time.monotonic() + flowchart.SECONDS
    for number, command in enumerate(chart.commands[:MAX_CHARTS] if chart else []):
        name = f"c{number}"
        left = until - time.monotonic()
        drawing = flowchart.draw(command, name, left) if left > 0 else None
        found.append(
            {
                "name": name,
                "title": text.clean(command.name),
                "nodes": len(command.nodes),
                "ways": _ways(command),
                "svg": drawing,
                "text": flowtext.as_text(command),
                "folded": _folded(command, name),
                "beside": flowtext.beside(command),
            }
        )
    return found


def _ways(command: Command) -> list[str]:
    return [
        flowtext.way_label(command, index)
        + (f" ({way.images:,} processes)" if way.images > 1 else "")
        for index, way in enumerate(command.ways)
    ]


def _folded(command: Command, name: str) -> list[Folded]:
    return [
        Folded(
            f"{name}-{index}",
            " ".join(filter(None, [flowtext.caption(node), flowtext.times(command, node)])),
            flowtext.body(command, node),
        )
        for index, node in enumerate(command.nodes)
        if node.kind in flowtext.FOLDED
    ]


def _provenance(footprint: Footprint) -> list[tuple[str, str]]:
    """Who made this, from what: label and value."""
    capture = footprint.get("capture") or {}
    evidence = footprint.get("evidence") or {}
    environment = footprint.get("environment") or {}
    try:
        mine = version("kfoot")
    except PackageNotFoundError:
        mine = "of a source tree"
    found = [("report by kfoot", mine), ("recorded by kfoot", capture.get("kfoot"))]
    found.append(("kind of capture", capture.get("kind")))
    for row in evidence.get("collectors") or ():
        options = ", ".join(f"{key}={value}" for key, value in (row.get("options") or {}).items())
        words = " ".join(filter(None, [row.get("name"), row.get("version"), f"({options})"]))
        found.append(("collector", words))
    atlases = environment.get("atlas")
    for atlas in atlases if isinstance(atlases, list) else [atlases]:
        for key, value in (atlas or {}).items():
            found.append((f"atlas {key}", value))
    found += [(key, environment.get(key)) for key in ("kernel", "build", "arch", "config_sha256")]
    found.append(("footprint sha256", _digest(footprint)))
    return [
        (label, text.NOT_MEASURED if value is None else text.clean(value)) for label, value in found
    ]


def _digest(footprint: Footprint) -> str:
    """sha256 of footprint.json as the contract writes it."""
    from kfoot.footprint import contract

    return hashlib.sha256(
        contract.dumps(dict(footprint)).encode("utf-8", "backslashreplace")
    ).hexdigest()


def _hashes(footprint: Footprint) -> Sequence[tuple[str, str]]:
    found = (footprint.get("capture") or {}).get("raw_sha256") or {}
    return [(text.clean(name), text.clean(value)) for name, value in sorted(found.items())]
