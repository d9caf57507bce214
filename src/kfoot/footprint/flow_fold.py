"""Nodes of a flowchart, and folding a long sequence of them into a short one.

Repetition of a body of up to ``PERIOD`` nodes becomes one loop node, from the inside out; what is
equal is decided by ``Node.key``, which leaves counts and outcomes out, so that 47 messages that
worked and one that failed are one loop of 48 with one error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice, zip_longest
from operator import eq
from typing import NamedTuple

PERIOD = 16
"""Longest loop body looked for."""
MAX_NODES = 1000
"""Longest sequence drawn; what comes later is counted."""
_BODY = 60
"""Most nodes kept inside a folded box."""

Key = Hashable


@dataclass(slots=True)
class Node:
    """One box. A loop's or folded box's own tally counts its rounds; its body has its own."""

    text: str
    kind: str
    """start, files, use, loop, cut, or a kind of ``flow_kinds``."""
    call: str | None = None
    object: str | None = None
    section: str | None = None
    area: str | None = None
    tally: dict[int, Counter[str]] = field(default_factory=dict)
    """Run index to outcomes ("ok", errno names, "never") with their counts."""
    body: list[Node] = field(default_factory=list)

    @property
    def key(self) -> Key:
        """What makes two nodes the same box."""
        if self.kind in ("start", "exit", "cut"):
            return self.kind
        if self.kind == "files":
            return self.kind, self.area
        if self.kind == "loop":
            return self.kind, tuple(node.key for node in self.body)
        return self.kind, self.text, self.section

    @property
    def exact(self) -> Key:
        """What makes two nodes rounds of one loop: as ``key``, and the very same files."""
        if self.kind == "files":
            return self.kind, tuple(node.key for node in self.body)
        if self.kind == "loop":
            return self.kind, tuple(node.exact for node in self.body)
        return self.key

    def count(self, run: int | None = None) -> int:
        """How often, in one run or in all."""
        tallies = self.tally.values() if run is None else [self.tally.get(run, Counter())]
        return sum(sum(tally.values()) for tally in tallies)

    def outcomes(self, run: int | None = None) -> Counter[str]:
        """Outcomes in one run or in all."""
        if run is not None:
            return Counter(self.tally.get(run, Counter()))
        return sum(self.tally.values(), Counter())

    def seen(self) -> set[str]:
        """The outcomes there were, in any run."""
        return {word for tally in self.tally.values() for word, times in tally.items() if times > 0}

    def absorb(self, other: Node) -> None:
        """Add another node of the same key: its counts, and its body's."""
        for run, tally in other.tally.items():
            self.tally.setdefault(run, Counter()).update(tally)
        if self.kind in ("start", "files", "cut"):
            self.body = gather([*self.body, *other.body])
            self.text = self.text if self.kind != "files" else files_text(self.body)
        else:
            for mine, theirs in zip_longest(self.body, other.body):
                if mine is not None and theirs is not None:
                    mine.absorb(theirs)

    def renumbered(self, runs: Sequence[int]) -> Node:
        """A copy with run ``i`` called ``runs[i]``."""
        tally: dict[int, Counter[str]] = {}
        for run, outcomes in self.tally.items():
            tally.setdefault(runs[run], Counter()).update(outcomes)
        body = [node.renumbered(runs) for node in self.body]
        return Node(
            self.text, self.kind, self.call, self.object, self.section, self.area, tally, body
        )


def gather(nodes: Iterable[Node]) -> list[Node]:
    """Equal nodes added up, in order of first appearance; at most ``_BODY``, the rest as one."""
    found: dict[Key, Node] = {}
    for node in nodes:
        if node.key in found:
            found[node.key].absorb(node)
        else:
            found[node.key] = node
    kept = list(found.values())
    if len(kept) <= _BODY:
        return kept
    rest = [node for node in kept[_BODY - 1 :] if node.kind != "cut"]
    old = [node for node in kept if node.kind == "cut"]
    tally: dict[int, Counter[str]] = {}
    for node in (*rest, *old):
        for run, outcomes in node.tally.items():
            tally.setdefault(run, Counter()).update(outcomes)
    return [
        *(node for node in kept[: _BODY - 1] if node.kind != "cut"),
        Node("more steps, not listed", "cut", tally=tally),
    ]


def files_text(body: Sequence[Node]) -> str:
    """The caption of a box that folds ordinary work on files."""
    more = " or more" if any(node.kind == "cut" for node in body) else ""
    if all(node.kind in ("close", "cut") for node in body):
        return f"close {sum(node.count() for node in body)} descriptors"
    names = {node.object for node in body if node.object}
    return f"open, read, look at, close {len(names)}{more} file{'s' if len(names) != 1 else ''}"


def fold(nodes: list[Node], run: int) -> list[Node]:
    """The sequence with repetition folded, at most ``MAX_NODES`` long."""
    numbers: dict[Key, int] = {}
    line = _loops(_Line(nodes, [_number(numbers, node) for node in nodes]), 1, numbers, run)
    period = 2
    while period <= PERIOD:
        shorter = _loops(_loops(line, period, numbers, run), 1, numbers, run)
        # A fold may have made a shorter period possible: inner loops first, then outer ones.
        period = 2 if len(shorter.nodes) < len(line.nodes) else period + 1
        line = shorter
    return _cut(line.nodes, run)


def fold_uses(nodes: list[Node], run: int) -> list[Node]:
    """Each stretch "open X, read or write X, close X" as one box."""
    result: list[Node] = []
    at = 0
    while at < len(nodes):
        length = _use_length(nodes, at)
        if length:
            body = gather(nodes[at : at + length])
            verbs = ", ".join(node.call or node.kind for node in body)
            first = body[0]
            result.append(
                Node(
                    f"{verbs} {first.object}",
                    "use",
                    object=first.object,
                    section=first.section,
                    area=first.area,
                    tally={run: Counter(ok=1)},
                    body=body,
                )
            )
        else:
            result.append(nodes[at])
        at += length or 1
    return result


def _use_length(nodes: list[Node], at: int) -> int:
    """How many nodes from ``at`` on use one file from open to close; 0 when they do not."""
    name = nodes[at].object
    if nodes[at].kind != "open" or not name or not name.startswith("/"):
        return 0
    if name.startswith("/dev/"):
        return 0
    for number, node in enumerate(nodes[at:]):
        if node.object != name or node.seen() != {"ok"}:
            return 0
        if number and node.kind not in ("read", "write", "look", "close"):
            return 0
        if node.kind == "close":
            return number + 1
    return 0


def fold_files(nodes: list[Node], run: int) -> list[Node]:
    """Stretches of ordinary work on files, and of closing anything but devices, as one box."""
    result: list[Node] = []
    for least, stretch in groupby(nodes, key=_least):
        group = list(stretch)
        if not least or len(group) < least:
            result += group
            continue
        body = list(_leaves(group))
        caption = files_text(body)
        body = gather(body)
        result.append(
            Node(
                caption,
                "files",
                section=_common(node.section for node in body),
                area=_common(node.area for node in body),
                tally={run: Counter(ok=1)},
                body=body,
            )
        )
    return result


def _least(node: Node) -> int:
    """From how many neighbours of its sort on a node is folded; 0: never."""
    if _plain(node):
        return 6
    closes = node.kind == "close" and node.seen() == {"ok"}
    return 3 if closes and not (node.object or "").startswith("/dev/") else 0


def _plain(node: Node) -> bool:
    if node.kind == "loop":
        return all(_plain(inner) for inner in node.body)
    if not node.seen() <= {"ok", "never"}:
        return False
    if node.kind == "use":
        return _ordinary(node) and all(inner.kind != "write" for inner in node.body)
    return node.kind in ("open", "read", "look", "close") and bool(node.object) and _ordinary(node)


def _ordinary(node: Node) -> bool:
    path = node.object or ""
    return path.startswith("/") and not path.startswith(("/dev/", "/sys/class/", "/sys/bus/"))


def _leaves(nodes: Iterable[Node]) -> Iterable[Node]:
    for node in nodes:
        if node.kind == "loop":
            yield from _leaves(node.body)
        else:
            yield node


def _common(values: Iterable[str | None]) -> str | None:
    found = Counter(value for value in values if value)
    return found.most_common(1)[0][0] if found else None


class _Line(NamedTuple):
    """A sequence of nodes with a number for each: what is equal for folding has equal numbers.
    Absorbing a node of the same number changes no number."""

    nodes: list[Node]
    numbers: list[int]


def _number(numbers: dict[Key, int], node: Node) -> int:
    return numbers.setdefault(node.exact, len(numbers))


def _loops(line: _Line, period: int, numbers: dict[Key, int], run: int) -> _Line:
    """Neighbouring repetitions of ``period`` nodes folded, left to right."""
    nodes, keys = line
    # Most lines repeat with no period at all: found out without looking at each node by itself.
    if not any(map(eq, keys, islice(keys, period, None))):
        return line
    result = _Line([], [])
    at = 0
    while at < len(nodes):
        rounds = 1
        if keys[at : at + 1] == keys[at + period : at + period + 1]:
            body = keys[at : at + period]
            while keys[at + rounds * period : at + (rounds + 1) * period] == body:
                rounds += 1
        if rounds == 1:
            result.nodes.append(nodes[at])
            result.numbers.append(keys[at])
            at += 1
            continue
        first = nodes[at : at + period]
        for offset, node in enumerate(nodes[at + period : at + rounds * period]):
            first[offset % period].absorb(node)
        if period > 1:
            first = [_loop(first, rounds, run)]
        result.nodes.extend(first)
        result.numbers.extend(_number(numbers, node) for node in first)
        at += rounds * period
    return result


def _loop(body: list[Node], rounds: int, run: int) -> Node:
    return Node(
        "repeat",
        "loop",
        section=_common(node.section for node in body if node.kind != "close"),
        area=_common(node.area for node in body if node.kind != "close"),
        tally={run: Counter(ok=rounds)},
        body=body,
    )


def _cut(nodes: list[Node], run: int) -> list[Node]:
    if len(nodes) <= MAX_NODES:
        return nodes
    last = [node for node in nodes[-1:] if node.kind == "exit"]
    kept = nodes[: MAX_NODES - 1 - len(last)]
    left = nodes[len(kept) : len(nodes) - len(last)]
    number = sum(node.count() for node in left)
    return [*kept, Node("further steps, not drawn", "cut", tally={run: Counter(ok=number)}), *last]
