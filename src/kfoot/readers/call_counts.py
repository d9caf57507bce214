"""Calls by task, number, outcome and ioctl request, as ftrace formats are counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from kfoot.readers.reading import CallCount, CallKey

OK, NEVER = 0, 1
"""Outcomes of a call; a failed one is the negative errno."""

MOST_NS = (1 << 63) - 1
"""Sums of time stop here (292 years): only a corrupt trace gets there."""

_MAX_ERRNO = 4095

Rows = dict[tuple[int, int, int, int], list[int]]
"""(task, number, outcome, ioctl request or -1) -> [calls, ns]."""

Describe = Callable[[int, int, int], tuple[Any, ...]]
"""Of number, outcome and request: all fields of a ``CallKey`` behind the process. What it gives
must differ where they do."""


def outcome_of(ret: int) -> int:
    """OK or the negative errno of a return value (include/linux/err.h: IS_ERR_VALUE)."""
    return ret if -_MAX_ERRNO <= ret < 0 else OK


class CallCounts(Protocol):
    """What a scanner counted. The native ones keep it as numbers, and make the keys of a
    ``Reading`` out of these."""

    def __len__(self) -> int:
        """How many combinations there are."""

    def tasks(self) -> set[int]:
        """All tasks that made some."""

    def by_task(self) -> Rows:
        """All, as they were counted."""

    def by_process(
        self,
        process: Mapping[int, int],
        describe: Describe,
        key: type[CallKey],
        count: type[CallCount],
        timed: bool,
    ) -> dict[CallKey, CallCount]:
        """All, by the index of each task's process. Not ``timed``: no durations are given. Raises
        KeyError for a task that is not there."""


class CallTable:
    """``CallCounts`` in Python, call by call."""

    def __init__(self, rows: Rows | None = None):
        self._rows = {} if rows is None else rows

    def count(self, tid: int, nr: int, outcome: int, request: int, ns: int) -> None:
        """Count a call that took ``ns``."""
        row = self._rows.setdefault((tid, nr, outcome, request), [0, 0])
        row[0] += 1
        row[1] = min(row[1] + ns, MOST_NS)

    def __len__(self) -> int:
        return len(self._rows)

    def tasks(self) -> set[int]:
        return {tid for tid, _, _, _ in self._rows}

    def by_task(self) -> Rows:
        return self._rows

    def by_process(
        self,
        process: Mapping[int, int],
        describe: Describe,
        key: type[CallKey],
        count: type[CallCount],
        timed: bool,
    ) -> dict[CallKey, CallCount]:
        tails: dict[tuple[int, int, int], tuple[Any, ...]] = {}
        found: dict[CallKey, CallCount] = {}
        for (tid, nr, outcome, request), (calls, ns) in self._rows.items():
            tail = tails.get((nr, outcome, request))
            if tail is None:
                tail = tails[nr, outcome, request] = describe(nr, outcome, request)
            fresh = count(calls, ns if timed and outcome != NEVER else None)
            total = found.setdefault(key(process[tid], *tail), fresh)
            if total is not fresh:
                total.calls += calls
                if total.time_ns is not None:
                    total.time_ns = min(total.time_ns + ns, MOST_NS)
        return found


class Pairs:
    """Matches sys_enter with sys_exit, task by task. Feed it in the order of time."""

    def __init__(self, calls: CallTable):
        self._calls = calls
        self._open: dict[int, tuple[int, int, int]] = {}

    def enter(self, tid: int, ns: int, nr: int, request: int) -> None:
        before = self._open.get(tid)
        if before is not None:
            self._count(tid, before, NEVER, 0)
        self._open[tid] = (nr, ns, request)

    def exit(self, tid: int, ns: int, nr: int, ret: int) -> None:
        """A return without a call is a new task's first, or of a call made before the recording.

        The number is -1 where the call replaced the registers (rt_sigreturn on x86).
        """
        call = self._open.pop(tid, None)
        if call is None:
            return
        if nr in (-1, call[0]):
            self._count(tid, call, outcome_of(ret), max(0, ns - call[1]))
        else:
            self._count(tid, call, NEVER, 0)

    def end(self) -> None:
        """What is still open never returned."""
        for tid, call in self._open.items():
            self._count(tid, call, NEVER, 0)
        self._open.clear()

    def _count(self, tid: int, call: tuple[int, int, int], outcome: int, ns: int) -> None:
        self._calls.count(tid, call[0], outcome, call[2], ns)
