"""The table of processes: who ran what, without pids.

Two hundred equal children of one shell are one row with ``instances`` 200, so that a footprint
does not change with the number of forks it took.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from kfoot.footprint.contract import Row
from kfoot.footprint.workload import Own
from kfoot.readers.reading import Process, Reading

Ident = tuple[str, tuple[str, ...]]


@dataclass(slots=True)
class _Node:
    ident: Ident
    instances: int = 0
    calls: int = 0
    children: dict[Ident, _Node] = field(default_factory=dict)


def tabulate(readings: Sequence[tuple[Reading, Own]]) -> list[Row]:
    """Fold the process trees of all readings into one. kfoot's own image before the exec is
    folded into what it executed."""
    root = _Node(("", ()))
    for reading, own in readings:
        calls = [0] * len(reading.processes)
        for key, count in reading.calls.items():
            calls[key.process] += count.calls
        below: dict[int | None, list[int]] = defaultdict(list)
        for index, process in enumerate(reading.processes):
            parent = process.parent
            alone = parent is None or parent >= index or not own.has(parent)
            below[None if alone else parent].append(index)
        todo = [(root, index) for index in below[None]]
        while todo:
            node, index = todo.pop()
            if not own.has(index):
                continue
            if index == own.gate:
                heirs = [heir for heir in below[index] if own.has(heir)]
                if heirs:
                    calls[heirs[0]] += calls[index]
                todo.extend((node, heir) for heir in heirs)
                continue
            ident = _ident(reading.processes[index])
            child = node.children.setdefault(ident, _Node(ident))
            child.instances += 1
            child.calls += calls[index]
            todo.extend((child, grandchild) for grandchild in below[index])
    rows: list[Row] = []
    pending: list[tuple[int | None, _Node]] = _last_first(None, root)
    while pending:
        parent, node = pending.pop()
        here = len(rows)
        rows.append(
            {
                "id": here,
                "exe": node.ident[0] or None,
                "argv": list(node.ident[1]),
                "parent": parent,
                "instances": node.instances,
                "calls": node.calls,
            }
        )
        pending.extend(_last_first(here, node))
    return rows


def _last_first(parent: int | None, node: _Node) -> list[tuple[int | None, _Node]]:
    return [(parent, child) for _, child in sorted(node.children.items(), reverse=True)]


def _ident(process: Process) -> Ident:
    return (process.exe or process.comm or "", process.argv)
