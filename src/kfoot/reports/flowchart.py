"""A command's flowchart as SVG, laid out by graphviz' ``dot`` where that is installed.

What goes into dot is escaped; what comes out is parsed and only shapes and text of it are kept,
so that nothing a trace holds can become markup in the page. Without dot (or when it takes too
long) there is no SVG, and the caller writes the chart as text.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from html import escape
from xml.etree import ElementTree

from kfoot.footprint.flow import Command
from kfoot.footprint.flow_fold import Node
from kfoot.reports import text
from kfoot.reports.flowtext import FOLDED, branch, caption, failures, labels, place, places, times

SECONDS = 20.0
"""Longest time dot may take for the charts of one report."""
_LOOP_LINES = 9
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_TAGS = {"g", "a", "title", "polygon", "polyline", "path", "ellipse", "text"}
_ATTRIBUTES = {
    "class", "transform", "points", "d", "cx", "cy", "rx", "ry", "x", "y", "text-anchor",
    "font-size", "font-weight",
}  # fmt: skip
_LOCAL = re.compile(r"^#[\w-]+$")


def available() -> str | None:
    """Why charts cannot be drawn here; None when they can."""
    if shutil.which("dot"):
        return None
    return "graphviz (dot) is not installed, so charts are shown as text"


def draw(command: Command, name: str, seconds: float = SECONDS) -> str | None:
    """The chart as an ``<svg>`` element, or None when dot is missing, fails or takes too long.

    ``name`` is a word that is unique in the page; folded boxes link to ``#NAME-INDEX``.
    """
    program = shutil.which("dot")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "-Tsvg"],
            input=source(command, name).encode("utf-8"),
            capture_output=True,
            timeout=seconds,
            check=True,
        )
        return _safe(done.stdout, f"Flowchart of {text.clean(command.name)}")
    except (subprocess.SubprocessError, OSError, ElementTree.ParseError):
        return None


def source(command: Command, name: str) -> str:
    """The chart in dot's language."""
    lines = [
        "digraph flow {",
        'graph [rankdir=TB, nodesep=0.3, ranksep=0.28, fontname="DejaVu Sans"];',
        'node [shape=box, fontname="DejaVu Sans", fontsize=11, margin="0.22,0.08"];',
        'edge [fontname="DejaVu Sans", fontsize=10, arrowsize=0.7];',
    ]
    parting = {index for index in range(len(command.nodes)) if command.parting(index)}
    for index, node in enumerate(command.nodes):
        lines.append(_node(command, index, node, name, index in parting))
    everyone = len(command.ways)
    for (tail, head), ways in sorted(command.edges().items()):
        label = ""
        if tail in parting:
            said = branch(command, command.nodes[tail], ways).replace(": ", ":\n", 1)
            label = f"{said}\n({labels(command, ways)})"
        elif len(ways) < everyone and _splits(command, tail):
            label = labels(command, ways)
        bad = tail in parting and "=" in label
        lines.append(
            f'n{tail} -> n{head} [class="{"bad" if bad else "edge"}"'
            f"{', label=' + _quoted(f' {label} ') if label else ''}];"
        )
    return "\n".join([*lines, "}"])


def _splits(command: Command, tail: int) -> bool:
    return len({pair[1] for pair in command.edges() if pair[0] == tail}) > 1


def _node(command: Command, index: int, node: Node, name: str, parting: bool) -> str:
    failed = failures(node)
    rows = [(f"{caption(node)}  {times(command, node)}".rstrip(), "head")]
    if node.kind == "loop":
        rows += [(line, "item") for line in _loop_lines(command, node, 0)]
    if failed and not parting:
        rows.append((", ".join(failed), "note"))
    role = "item" if node.kind == "loop" else "note"
    rows += [(text.shorten(found, 60), role) for found in places(node)[:3]]
    label = "".join(_label_row(*row) for row in rows)
    shape = "box"
    if parting:
        shape = "diamond"
    elif node.kind in ("start", "exit"):
        shape = "oval" if node.kind == "exit" else "box"
    kind = "parting" if parting else "failed" if failed else node.kind
    extra = ', style="rounded"' if node.kind in ("start", "files", "use") and not parting else ""
    extra += ", peripheries=2" if node.kind == "loop" else ""
    link = f', URL="#{name}-{index}"' if node.kind in FOLDED else ""
    tip = text.clean(f"{node.text} {place(node)}")
    return (
        f'n{index} [label=<{label}>, shape={shape}, class="{kind}"{extra}{link},'
        f" tooltip={_quoted(tip)}];"
    )


def _label_row(value: str, role: str) -> str:
    """A line of a label: its head, an item of a loop (aligned left) or a note."""
    if role == "head":
        gap = '<font point-size="3"> <br/></font>'
        return f'<font point-size="11"><b>{_marked(value)}</b></font><br/>{gap}'
    ending = '<br align="left"/>' if role == "item" else "<br/>"
    return f'<font point-size="10">{_marked(value)}</font>{ending}'


def _loop_lines(command: Command, node: Node, depth: int) -> list[str]:
    lines: list[str] = []
    for inner in node.body:
        words = [caption(inner), times(command, inner)]
        failed = failures(inner)
        lines.append(
            "\u2003" * depth
            + " ".join(word for word in words if word)
            + (f" ({', '.join(failed)})" if failed else "")
        )
        if inner.kind == "loop":
            lines += _loop_lines(command, inner, depth + 1)
    if depth == 0 and len(lines) > _LOOP_LINES:
        left = len(lines) - _LOOP_LINES + 1
        lines = [*lines[: _LOOP_LINES - 1], f"and {left} more"]
    return lines


def _marked(value: str) -> str:
    """Text inside dot's HTML-like labels, where dot decodes entities and expands \\N and \\G."""
    return escape(value, quote=True).replace("\\", "\\\\") or " "


def _quoted(value: str) -> str:
    """A string of dot's language; it too decodes entities, and backslash sequences."""
    value = escape(value, quote=False).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + value.replace("\n", "\\n") + '"'


def _safe(data: bytes, label: str) -> str:
    """dot's SVG with only shapes, text and links into the page."""
    root = ElementTree.fromstring(data)
    clean = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": "flow",
            "viewBox": root.get("viewBox", "0 0 100 100"),
            "width": root.get("width", "100"),
            "height": root.get("height", "100"),
            "role": "img",
            "aria-label": label,
        },
    )
    for child in root:
        _copy(child, clean)
    return ElementTree.tostring(clean, encoding="unicode")


def _copy(element: ElementTree.Element, parent: ElementTree.Element) -> None:
    tag = element.tag.removeprefix(_SVG) if isinstance(element.tag, str) else ""
    if tag not in _TAGS:
        return
    kept = {key: value for key, value in element.attrib.items() if key in _ATTRIBUTES}
    link = element.get(_LINK)
    if tag == "a" and link is not None and _LOCAL.match(link):
        kept["href"] = link
    copy = ElementTree.SubElement(parent, tag, kept)
    copy.text = element.text
    for child in element:
        _copy(child, copy)
