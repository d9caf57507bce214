"""The system view as SVG, legible in colour, in black and white, and to a screen reader.

The tier of a box shows three times: as letters, as the pattern of its left band, as its shade.
Colours are classes, so that the page's light, dark and print styles decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from kfoot.reports import text
from kfoot.reports.digest import LETTERS, TIERS
from kfoot.reports.systemview import Box, View

WIDTH = 1080
GAP = 10
PAD = 8
BAND = 22
LINE = 14
TITLE = 17
_NARROW, _WIDE = set(" .,:;'|!()[]/ijlt-"), set("MWmw@%")
_MOST_LINES = 5

_PATTERNS = (
    '<pattern id="px" width="4" height="4" patternUnits="userSpaceOnUse">'
    '<rect width="4" height="4" class="pat"/></pattern>'
    '<pattern id="pt" width="6" height="6" patternUnits="userSpaceOnUse">'
    '<path d="M0 6L6 0M-1 1L1 -1M5 7L7 5" class="hatch"/></pattern>'
    '<pattern id="pd" width="5" height="5" patternUnits="userSpaceOnUse">'
    '<circle cx="2.5" cy="2.5" r="1.1" class="pat"/></pattern>'
    '<pattern id="pe" width="6" height="6" patternUnits="userSpaceOnUse">'
    '<path d="M0 3H6" class="thin"/></pattern>'
)


def draw(view: View) -> str:
    """The view as an ``<svg>`` element. Everything from the footprint is escaped."""
    parts: list[str] = []
    y = 0.0
    third = (WIDTH - 2 * GAP) / 3
    applications, runtimes, libraries = view.applications
    y = _row(parts, [(applications, 2 * third + GAP), (runtimes, third)], y, flow=True)
    y = _row(parts, [(libraries, WIDTH)], y, flow=True)
    y = _row(parts, [(view.interface, WIDTH)], y, flow=True)
    y = _columns(parts, view.columns, third, y)
    for title, boxes in (("Device drivers", view.drivers), ("Kernel-wide", view.services)):
        parts.append(f'<text x="0" y="{y + 12:.0f}" class="layer">{title}</text>')
        y += 18
        width = (WIDTH - 3 * GAP) / 4
        for start in range(0, len(boxes), 4):
            y = _row(parts, [(box, width) for box in boxes[start : start + 4]], y)
    y = _legend(parts, y, view.compared)
    used = sum(box.tier is not None for box in view.boxes())
    label = f"System view: {used} of {len(view.boxes())} kernel boxes used"
    return (
        '<svg class="view" xmlns="http://www.w3.org/2000/svg" role="img"'
        f' viewBox="-1 -1 {WIDTH + 2} {y + 2:.0f}" aria-label="{escape(label)}">'
        f"<defs>{_PATTERNS}</defs>{''.join(parts)}</svg>"
    )


def _width(value: str) -> float:
    """Pixels of ``value`` in 11 px DejaVu Sans, the widest of the usual fonts, roughly."""
    return sum(
        4.0 if char in _NARROW else 9.8 if char in _WIDE else 7.7 if char.isupper() else 6.9
        for char in value
    )


def _fit(value: str, room: float) -> str:
    """``value`` shortened to ``room`` pixels."""
    length = len(value)
    while length > 4 and _width(value) > room:
        length = min(length - 1, int(length * room / _width(value)) + 1)
        value = text.shorten(value, length)
    return value


def _height(box: Box, width: float, flow: bool = False) -> float:
    return TITLE + 2 * PAD - 4 + LINE * len(_lines(box, width, flow))


def _lines(box: Box, width: float, flow: bool) -> list[str]:
    """The box's lines as they fit; what does not fit is counted."""
    room = width - BAND - PAD
    if flow:
        rows: list[str] = []
        for number, line in enumerate(box.lines):
            item = _fit(line, room)
            if rows and _width(f"{rows[-1]} · {item} +9999") <= room:
                rows[-1] += f" · {item}"
            elif len(rows) < 3:
                rows.append(item)
            else:
                rows[-1] += f" +{len(box.lines) - number}"
                break
        return rows
    kept = [_fit(line, room) for line in box.lines[:_MOST_LINES]]
    if len(box.lines) > _MOST_LINES:
        kept[-1] = f"and {len(box.lines) - _MOST_LINES + 1} more"
    return kept


def _row(
    parts: list[str], boxes: Sequence[tuple[Box, float]], y: float, *, flow: bool = False
) -> float:
    height = max(_height(box, width, flow) for box, width in boxes)
    x = 0.0
    for box, width in boxes:
        _draw_box(parts, box, (x, y, width, height), flow)
        x += width + GAP
    return y + height + GAP


def _columns(parts: list[str], columns: Sequence[Sequence[Box]], width: float, top: float) -> float:
    """Three columns of equal height; what a short one has left over goes to its boxes evenly."""
    heights = [[_height(box, width) for box in column] for column in columns]
    totals = [sum(column) + GAP * len(column) for column in heights]
    tallest = max(totals)
    for number, column in enumerate(columns):
        extra = (tallest - totals[number]) / len(column)
        y = top
        for box, height in zip(column, heights[number], strict=True):
            _draw_box(parts, box, (number * (width + GAP), y, width, height + extra), False)
            y += height + extra + GAP
    return top + tallest


def _draw_box(
    parts: list[str], box: Box, place: tuple[float, float, float, float], flow: bool
) -> None:
    x, y, width, height = place
    tier = box.tier
    kind = f"t-{LETTERS[tier].lower()}" if tier else ("t-app" if not box.areas else "t-none")
    if not box.areas and tier is None and not box.lines:
        kind = "t-none"
    changed = " changed" if box.new or box.gone else ""
    parts.append(f'<g class="box {kind}{changed}"><title>{escape(_tip(box))}</title>')
    parts.append(f'<rect class="body" {_at(x, y, width, height)} rx="3"/>')
    if tier:
        letter = LETTERS[tier].lower()
        parts.append(f'<rect fill="url(#p{letter})" {_at(x, y, BAND - 6, height)} rx="3"/>')
    left = x + BAND
    parts.append(
        f'<text class="name" x="{left:.1f}" y="{y + TITLE:.1f}">{escape(box.title)}</text>'
    )
    note = box.letters if box.areas else ""
    if changed:
        note = f"changed +{box.new} −{box.gone}  {note}"
    if note:
        parts.append(
            f'<text class="tiers" text-anchor="end" x="{x + width - PAD:.1f}"'
            f' y="{y + TITLE:.1f}">{escape(note)}</text>'
        )
    for number, line in enumerate(_lines(box, width, flow)):
        top = y + TITLE + PAD + 7 + LINE * number
        parts.append(f'<text x="{left:.1f}" y="{top:.1f}">{escape(line)}</text>')
    parts.append("</g>")


def _at(x: float, y: float, width: float, height: float) -> str:
    return f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'


def _tip(box: Box) -> str:
    counts = [f"{tier} {text.count(box.tiers.get(tier))}" for tier in TIERS if box.areas]
    return "\n".join([box.title, *counts, *box.lines[:40]]) if box.areas else box.title


def _legend(parts: list[str], y: float, compared: bool) -> float:
    x = 0.0
    parts.append('<g class="legend">')
    for tier in TIERS:
        letter = LETTERS[tier]
        parts.append(
            f'<g class="box t-{letter.lower()}"><rect class="body" {_at(x, y, 30, 16)} rx="3"/>'
            f'<rect fill="url(#p{letter.lower()})" {_at(x, y, 16, 16)} rx="3"/></g>'
            f'<text x="{x + 36:.0f}" y="{y + 12:.0f}">{letter} {tier}</text>'
        )
        x += 120
    parts.append(
        f'<g class="box t-none"><rect class="body" {_at(x, y, 30, 16)} rx="3"/></g>'
        f'<text x="{x + 36:.0f}" y="{y + 12:.0f}">not used</text>'
    )
    if compared:
        x += 120
        parts.append(
            f'<g class="box t-none changed"><rect class="body" {_at(x, y, 30, 16)} rx="3"/></g>'
            f'<text x="{x + 36:.0f}" y="{y + 12:.0f}">differs from the baseline</text>'
        )
    parts.append("</g>")
    return y + 18
