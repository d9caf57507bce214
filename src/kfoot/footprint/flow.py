"""The flow of each command: what it did in order, folded, with runs merged where they agree.

``chart`` turns the steps of several readings into one ``Chart``; ``merge`` puts charts of several
captures together. Two runs of a command share a node where they did the same and part where they
did not; a node they share but whose outcome differs (flock worked, flock said EAGAIN) is where
the error branch leaves. A chart is plain data and goes to and from JSON (``flows.json``).
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from kfoot.errors import InputError
from kfoot.footprint.flow_fold import Key, Node
from kfoot.footprint.flow_steps import Namer, Run, bare_namer, runs_of
from kfoot.readers.reading import Reading

SCHEMA = 1
UNNAMED = "trace"
"""Label of a recording that has neither a use case nor a command line (an import)."""
MAX_PATHS = 12
"""Different ways through one command that are kept; further ones are counted."""


@dataclass(slots=True)
class Way:
    """One way through a command: which nodes, under which label, how many process images."""

    label: str
    nodes: list[int]
    """Indices into ``Command.nodes``."""
    images: int = 1
    captures: list[str] = field(default_factory=list)
    """Names of the captures it was seen in, where charts of several were merged."""


@dataclass(slots=True)
class Command:
    """The chart of one command. ``nodes`` are in an order all ways agree with."""

    name: str
    main: bool = False
    """Whether it is the workload itself, not something the workload started."""
    ways: list[Way] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    quiet: Counter[str] = field(default_factory=Counter)
    """Calls that are not drawn because they only manage memory, threads, signals or time."""
    expected: Counter[str] = field(default_factory=Counter)
    """Errors that are part of normal operation, as "openat ENOENT"."""
    unplaced: Counter[str] = field(default_factory=Counter)
    """Calls beyond the recorded order that have no single place in the chart, by caption."""
    cut: int = 0
    """Further process images whose way is not drawn."""

    def edges(self) -> dict[tuple[int, int], list[int]]:
        """Arrows, each with the indices of the ways that take it."""
        found: dict[tuple[int, int], list[int]] = {}
        for number, way in enumerate(self.ways):
            for pair in zip(way.nodes, way.nodes[1:], strict=False):
                found.setdefault(pair, []).append(number)
        return found

    def parting(self, index: int) -> bool:
        """Whether ways through node ``index`` saw different outcomes and then went apart."""
        node = self.nodes[index]
        if node.kind in ("start", "files", "cut"):
            return False
        seen = {frozenset(outcomes) for outcomes in node.tally.values() if outcomes}
        after = {pair[1] for pair in self.edges() if pair[0] == index}
        return len(seen) > 1 and len(after) > 1


@dataclass(slots=True)
class Chart:
    """The flow of every command of one or several captures: workloads first, then busiest."""

    commands: list[Command] = field(default_factory=list)
    steps_cut: int = 0
    """Steps that were not kept in order (counted in the footprint all the same)."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, the same for the same input."""
        return {
            "schema": SCHEMA,
            "steps_cut": self.steps_cut,
            "commands": [_command_json(command) for command in self.commands],
        }

    @classmethod
    def from_json(cls, data: Any, path: str = "flows.json") -> Chart:
        """The chart ``to_json`` gave. Raises InputError naming ``path`` when it is none."""
        try:
            if data["schema"] > SCHEMA:
                raise InputError(path, f"has schema {data['schema']}", expected=f"at most {SCHEMA}")
            commands = [_command(item) for item in data["commands"]]
            return cls(commands, int(data["steps_cut"]))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise InputError(
                path,
                f"is not a flow chart: {error!r}",
                hint="`kfoot derive CAPTURE` makes it again from the traces",
            ) from None


def chart(readings: Iterable[tuple[str, Reading]], namer: Namer = bare_namer) -> Chart:
    """The chart of several readings, each under a label ("normal", "busy", a capture's name).

    Process images of one command (its executable, with the script or the subcommand) become ways
    through one graph.
    """
    commands: dict[str, Command] = {}
    cut = 0
    for label, reading in readings:
        cut += reading.steps_cut
        for run in runs_of(reading, namer):
            command = commands.setdefault(run.command, Command(run.command))
            _add_run(command, label, run)
    return Chart(_ranked(commands.values()), cut)


def merge(charts: Sequence[Chart], names: Sequence[str] = ()) -> Chart:
    """Charts of several captures as one; commands of the same name share a graph.

    ``names`` are the captures' names, one for each chart: they label what has no label and tell
    ways of equal label apart.
    """
    commands: dict[str, Command] = {}
    for item, name in zip_longest(charts, names[: len(charts)]):
        for theirs in item.commands:
            mine = commands.setdefault(theirs.name, Command(theirs.name))
            mine.main |= theirs.main
            mine.quiet.update(theirs.quiet)
            mine.expected.update(theirs.expected)
            mine.unplaced.update(theirs.unplaced)
            mine.cut += theirs.cut
            for number, way in enumerate(theirs.ways):
                path = [_only(theirs.nodes[index], number) for index in way.nodes]
                captures = way.captures or ([name] if name is not None else [])
                label = name if way.label == UNNAMED and name is not None else way.label
                _add_way(mine, Way(label, [], way.images, captures), path)
    return Chart(_ranked(commands.values()), sum(item.steps_cut for item in charts))


def _ranked(commands: Iterable[Command]) -> list[Command]:
    return sorted(
        commands,
        key=lambda command: (
            not command.main,
            -sum(node.count() for node in command.nodes),
            command.name,
        ),
    )


def _only(node: Node, run: int) -> Node:
    """A copy of ``node`` as one run saw it, that run being number 0."""
    tally = {0: Counter(node.tally[run])} if run in node.tally else {}
    body = [_only(inner, run) for inner in node.body if run in inner.tally]
    return Node(node.text, node.kind, node.call, node.object, node.section, node.area, tally, body)


def _add_run(command: Command, label: str, run: Run) -> None:
    command.main |= run.main
    command.quiet.update(run.quiet)
    command.expected.update(run.expected)
    command.unplaced.update(run.unplaced)
    _add_way(command, Way(label, []), run.nodes)


def _add_way(command: Command, new: Way, path: list[Node]) -> None:
    """Lay ``path`` (its run being number 0) along what the command's graph has already."""
    keys = [node.key for node in path]
    for number, way in enumerate(command.ways):
        if way.label == new.label and keys == [command.nodes[index].key for index in way.nodes]:
            renumbered = [node.renumbered([number]) for node in path]
            if all(
                set(node.tally.get(number, ())) == set(command.nodes[index].tally.get(number, ()))
                for node, index in zip(renumbered, way.nodes, strict=True)
            ):
                for node, index in zip(renumbered, way.nodes, strict=True):
                    command.nodes[index].absorb(node)
                way.images += new.images
                way.captures += [name for name in new.captures if name not in way.captures]
                return
    if len(command.ways) >= MAX_PATHS:
        command.cut += new.images
        return
    number = len(command.ways)
    fresh = Way(new.label, [], new.images, list(new.captures))
    _lay(command, fresh, [node.renumbered([number]) for node in path])


def _lay(command: Command, way: Way, path: list[Node]) -> None:
    """Align the path with the graph's own order; equal nodes are shared, others put between."""
    numbers: dict[Key, int] = {}

    def intern(nodes: Sequence[Node]) -> list[int]:
        return [numbers.setdefault(node.key, len(numbers)) for node in nodes]

    old = command.nodes
    matcher = difflib.SequenceMatcher(None, intern(old), intern(path), autojunk=False)
    merged: list[Node] = []
    moved: dict[int, int] = {}
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        for index in range(old_from, old_to):
            moved[index] = len(merged)
            merged.append(old[index])
            if tag == "equal":
                old[index].absorb(path[new_from + index - old_from])
                way.nodes.append(moved[index])
        if tag != "equal":
            for node in path[new_from:new_to]:
                way.nodes.append(len(merged))
                merged.append(node)
    for earlier in command.ways:
        earlier.nodes = [moved[index] for index in earlier.nodes]
    command.nodes = merged
    command.ways.append(way)


def _command_json(command: Command) -> dict[str, Any]:
    return {
        "name": command.name,
        "main": command.main,
        "ways": [
            {
                "label": way.label,
                "nodes": way.nodes,
                "images": way.images,
                "captures": way.captures,
            }
            for way in command.ways
        ],
        "nodes": [_node_json(node) for node in command.nodes],
        "quiet": dict(sorted(command.quiet.items())),
        "expected": dict(sorted(command.expected.items())),
        "unplaced": dict(sorted(command.unplaced.items())),
        "cut": command.cut,
    }


def _node_json(node: Node) -> dict[str, Any]:
    return {
        "text": node.text,
        "kind": node.kind,
        "call": node.call,
        "object": node.object,
        "section": node.section,
        "area": node.area,
        "tally": {
            str(run): dict(sorted(found.items())) for run, found in sorted(node.tally.items())
        },
        "body": [_node_json(inner) for inner in node.body],
    }


def _command(data: dict[str, Any]) -> Command:
    nodes = [_node(item) for item in data["nodes"]]
    ways = [
        Way(item["label"], list(item["nodes"]), item["images"], list(item["captures"]))
        for item in data["ways"]
    ]
    for way in ways:
        if not all(0 <= index < len(nodes) for index in way.nodes):
            raise IndexError("a way leads to a node that is not there")
    return Command(
        data["name"],
        bool(data["main"]),
        ways,
        nodes,
        Counter(data["quiet"]),
        Counter(data["expected"]),
        Counter(data["unplaced"]),
        data["cut"],
    )


def _node(data: dict[str, Any]) -> Node:
    return Node(
        data["text"],
        data["kind"],
        data["call"],
        data["object"],
        data["section"],
        data["area"],
        {int(run): Counter(found) for run, found in data["tally"].items()},
        [_node(inner) for inner in data["body"]],
    )
