"""Records by event, context and task, as ftrace formats are counted."""

from __future__ import annotations

from collections.abc import Container, Hashable, Mapping
from typing import Protocol

ByTask = dict[tuple[Hashable, int], dict[int, int]]
"""(event, context) -> task -> records. The event is a name (text) or a number (binary)."""
ByProcess = dict[tuple[Hashable, int], dict[int | None, int]]
"""The same with the index of a process instead of the task."""


class EventCounts(Protocol):
    """What a scanner counted. The native ones keep it as numbers: hundreds of thousands of counts
    are made into dicts only in the shape that is asked for."""

    def tasks(self) -> set[int]:
        """All tasks that made some."""

    def of(self, events: Container[Hashable]) -> dict[int, int]:
        """Of some events, by task, in all contexts together."""

    def by_process(self, process: Mapping[int, int]) -> ByProcess:
        """All, by each task's process. Raises KeyError for a task that is not there."""

    def by_task(self) -> ByTask:
        """All, by task."""


class EventTable:
    """``EventCounts`` in Python, record by record."""

    def __init__(self) -> None:
        self._counts: ByTask = {}

    def record(self, tid: int, event: Hashable, context: int, count: int = 1) -> None:
        """Count records of an event."""
        by_task = self._counts.get((event, context))
        if by_task is None:
            by_task = self._counts[event, context] = {}
        by_task[tid] = by_task.get(tid, 0) + count

    def add(self, more: EventCounts) -> None:
        """Add all of another one."""
        for (event, context), by_task in more.by_task().items():
            for tid, count in by_task.items():
                self.record(tid, event, context, count)

    def tasks(self) -> set[int]:
        return set[int]().union(*self._counts.values())

    def of(self, events: Container[Hashable]) -> dict[int, int]:
        found: dict[int, int] = {}
        for (event, _), by_task in self._counts.items():
            if event in events:
                for tid, count in by_task.items():
                    found[tid] = found.get(tid, 0) + count
        return found

    def by_process(self, process: Mapping[int, int]) -> ByProcess:
        found: ByProcess = {}
        for key, by_task in self._counts.items():
            row = found[key] = {}
            for tid, count in by_task.items():
                at = process[tid]
                row[at] = row.get(at, 0) + count
        return found

    def by_task(self) -> ByTask:
        return self._counts
