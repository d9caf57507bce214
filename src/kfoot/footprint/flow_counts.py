"""Exact numbers in a chart whose order was recorded only in part.

A recorder may keep the order of the first few calls of each kind and count the rest (bpf), or stop
keeping order after some number of steps. The counts are exact all the same: where a kind of call
has one place in a chart, its number there is the real one; where it has several, what is beyond
the recorded order is counted beside the chart and given to none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from kfoot.footprint.flow_fold import Key, Node
from kfoot.readers.reading import CallKey, Reading, Request, Step

AT_LEAST = "repeat, at least"
"""Caption of a loop whose rounds beyond the recorded order do not add up to a number."""


def unordered(reading: Reading) -> dict[int, list[Step]]:
    """Calls that are counted but have no place in the order, by process image (of those that have
    a step in the order), as steps. Empty when order and counts do not fit together (then nothing
    is known of single calls)."""
    if not reading.steps_cut:
        return {}
    drawn = {step.process for step in reading.steps}
    """A trace may have thousands of images and calls of each; only those in the order are drawn."""
    left: dict[_Kind, int] = {}
    for key, count in reading.calls.items():
        if key.process in drawn:
            kind = _kind(key)
            left[kind] = left.get(kind, 0) + count.calls
    for step in reading.steps:
        kind = _kind(step)
        left[kind] = left.get(kind, 0) - step.times
    calls = sum(count.calls for count in reading.calls.values())
    ordered = sum(step.times for step in reading.steps)
    if any(number < 0 for number in left.values()) or calls - ordered != reading.steps_cut:
        return {}
    found: dict[int, list[Step]] = {}
    for (process, name, nr, abi, thing, request, outcome), number in left.items():
        if number:
            found.setdefault(process, []).append(
                Step(process, 0, name, nr, abi, thing, request, outcome, number)
            )
    return found


_Kind = tuple[int, str | None, int | None, str | None, int | None, Request | None, str]


def _kind(call: CallKey | Step) -> _Kind:
    """What a step and a counted call have in common."""
    return (
        call.process, call.name, call.nr, call.abi, call.object, call.request, call.outcome,
    )  # fmt: skip


def place(nodes: list[Node], calls: Iterable[Node]) -> Counter[str]:
    """Add ``calls`` (leaves of run 0) to the one leaf among ``nodes`` that is of their kind, and
    work out the rounds of loops anew. Returns what has no place, or several, by caption."""
    before = {id(node): node.count() for node in _all(nodes)}
    leaves: dict[Key, list[Node]] = {}
    for node in _all(nodes):
        if not node.body:
            leaves.setdefault(node.key, []).append(node)
    homeless: Counter[str] = Counter()
    for call in calls:
        found = leaves.get(call.key, [])
        if len(found) == 1:
            found[0].absorb(call)
        else:
            homeless[call.text] += call.count()
    for node in nodes:
        _recount(node, before)
    return homeless


def _all(nodes: Iterable[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _all(node.body)


def _recount(node: Node, before: dict[int, int]) -> None:
    """Rounds of a loop, or uses of a file, from what its body counts now: the number of rounds
    that gives every step of the body its count, if there is one."""
    for inner in node.body:
        _recount(inner, before)
    if node.kind not in ("loop", "use"):
        return
    rounds = before[id(node)]
    now = {inner.count() * rounds / before[id(inner)] for inner in node.body}
    if now == {float(rounds)}:
        return
    if len(now) == 1 and (exact := now.pop()).is_integer():
        node.tally[0] = Counter(ok=int(exact))
    elif node.kind == "loop":
        node.text = AT_LEAST
