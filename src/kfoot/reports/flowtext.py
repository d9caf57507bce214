"""What a flowchart says, whether it is drawn or written: captions, outcomes, branch labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from kfoot.footprint.flow import Command
from kfoot.footprint.flow_fold import Node
from kfoot.footprint.flow_kinds import meaning
from kfoot.reports import text

FOLDED = ("start", "files", "loop", "use")
"""Kinds whose body can be opened."""
CAPTION = 52


def caption(node: Node) -> str:
    """The node's text, cleaned, at most ``CAPTION`` characters."""
    return text.shorten(text.clean(node.text), CAPTION)


def times(command: Command, node: Node) -> str:
    """How often one process image took the step: "×48"; "" for once. Where ways differ, each
    way's number, or the range when there are many."""
    counts: dict[float, list[int]] = {}
    for number, way in enumerate(command.ways):
        if node.tally.get(number):
            counts.setdefault(node.count(number) / way.images, []).append(number)
    if len(counts) <= 1:
        count = next(iter(counts), 1.0)
        return "" if count == 1 else f"×{_number(count)}"
    if len(counts) <= 3:
        return ", ".join(
            f"{labels(command, ways)} ×{_number(count)}" for count, ways in counts.items()
        )
    return f"×{_number(min(counts))} to ×{_number(max(counts))}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def failures(node: Node, run: int | None = None) -> list[str]:
    """ "EAGAIN ×3" for each errno; "never returned" where that is not the call's nature."""
    found = []
    for outcome, number in sorted(node.outcomes(run).items(), key=lambda item: -item[1]):
        if outcome == "ok" or (outcome == "never" and node.kind == "exit"):
            continue
        word = "never returned" if outcome == "never" else text.clean(outcome)
        found.append(f"{word} ×{number:,}" if number > 1 else word)
    return found


def branch(command: Command, node: Node, ways: Sequence[int]) -> str:
    """The label of an arrow that leaves a node where ways part: what the call returned there."""
    seen = Counter[str]()
    for way in ways:
        seen.update(node.outcomes(way))
    words = []
    for outcome in sorted(seen):
        if outcome == "ok":
            words.append(f"{node.call or node.kind} worked")
        elif outcome == "never":
            words.append("never returned")
        else:
            said = meaning(node.call or "", outcome)
            words.append(f"{node.call} = {text.clean(outcome)}" + (f": {said}" if said else ""))
    return "; ".join(words)


def labels(command: Command, ways: Sequence[int]) -> str:
    """Whose ways these are: "busy, normal"."""
    return ", ".join(way_label(command, way) for way in sorted(ways))


def way_label(command: Command, index: int) -> str:
    """The label of one way. Ways of one label are told apart by the captures they were seen in,
    or by number where several process images of one capture went different ways."""
    way = command.ways[index]
    alike = [other for other in command.ways if other.label == way.label]
    label = "" if len(alike) == len(command.ways) > 1 else text.shorten(text.clean(way.label), 40)
    if len(alike) == 1:
        return label
    own = f"way {index + 1}"
    if way.captures and sum(other.captures == way.captures for other in alike) == 1:
        more = f" and {len(way.captures) - 3} more" if len(way.captures) > 3 else ""
        own = ", ".join(text.shorten(text.clean(name), 30) for name in way.captures[:3]) + more
    return f"{label}: {own}" if label else own


def place(node: Node) -> str:
    """ "SPI SUBSYSTEM · drivers:spi", as far as known."""
    return " · ".join(text.clean(word) for word in (node.section, node.area) if word)


def places(node: Node) -> list[str]:
    """The places of a node, of a repeated box all that its steps have, in order."""
    if node.kind != "loop":
        return [place(node)] if place(node) else []
    return list(dict.fromkeys(found for inner in node.body for found in places(inner)))


def as_text(command: Command) -> str:
    """The whole chart as indented text."""
    return "\n".join(_written(command)) + "\n"


def _written(command: Command) -> Iterator[str]:
    edges = command.edges()
    for index, node in enumerate(command.nodes):
        through = [number for number, way in enumerate(command.ways) if index in way.nodes]
        note = "" if len(through) == len(command.ways) else f"   [only {labels(command, through)}]"
        yield f"{index:>4}  {_line(command, node)}{note}"
        if node.kind == "loop":
            yield from _inner(command, node, 1)
        after = sorted(
            (target, ways) for (source, target), ways in edges.items() if source == index
        )
        if len(after) > 1:
            for target, ways in after:
                word = branch(command, node, ways) if command.parting(index) else "goes on"
                yield f"        -> {target} {word} ({labels(command, ways)})"


def _inner(command: Command, node: Node, depth: int) -> Iterator[str]:
    for inner in node.body:
        yield f"      {'  ' * depth}{_line(command, inner)}"
        if inner.kind == "loop":
            yield from _inner(command, inner, depth + 1)


def _line(command: Command, node: Node) -> str:
    parts = [text.clean(node.text), times(command, node), *failures(node)]
    where = place(node)
    return " ".join(part for part in parts if part) + (f"  ({where})" if where else "")


def beside(command: Command) -> list[str]:
    """What the chart leaves out, counted."""
    found = []
    if command.quiet:
        listed = ", ".join(
            f"{text.clean(name)} {number:,}" for name, number in command.quiet.most_common(6)
        )
        more = " and others" if len(command.quiet) > 6 else ""
        found.append(
            f"{command.quiet.total():,} calls that manage memory, threads, signals, time or open"
            f" descriptors are not drawn: {listed}{more}."
        )
    if command.expected:
        listed = text.pairs(dict(command.expected.most_common(6)))
        found.append(f"{command.expected.total():,} expected errors are folded away: {listed}.")
    if command.unplaced:
        listed = text.pairs(dict(command.unplaced.most_common(4)))
        more = " and others" if len(command.unplaced) > 4 else ""
        found.append(
            f"{command.unplaced.total():,} calls came after the recorded order and fit several"
            f" boxes or none: {listed}{more}."
        )
    if command.cut:
        found.append(f"{text.times(command.cut, 'further process image')} went yet other ways.")
    return found


def body(command: Command, node: Node) -> list[str]:
    """What a folded box holds, one line a step."""
    return [line.strip() for line in _inner(command, node, 0)]
