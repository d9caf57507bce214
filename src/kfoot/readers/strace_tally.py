"""What a strace's calls add up to: how often each combination happened, and the steps in order."""

from __future__ import annotations

import re
from collections.abc import Callable
from sys import intern

from kfoot.readers.reading import CallCount, CallKey, Request, Step
from kfoot.readers.strace_args import number
from kfoot.readers.strace_process import Thread, Tree
from kfoot.readers.syscall_roles import ONLY_32_BIT

Key = tuple[int, str | None, str | None, str, str, int | None, int | None, Request | None]
"""process, abi, number as text, name, outcome, object, object2, request."""

Repeats = Callable[[dict[CallKey, CallCount]], set[str]]
"""Adds calls that were counted elsewhere, and gives their names."""

_NUMBERED = re.compile(r"syscall_(0x[0-9a-f]{1,16}|\d{1,10})$")


class Count:
    """How often one combination happened, and how long it took (ns; None: no line said)."""

    __slots__ = ("calls", "key", "ns")

    def __init__(self, key: Key):
        self.key = key
        self.calls = 0
        self.ns: int | None = None


class Tally:
    """Counts of combinations, and the first ``max_steps`` steps; ``result`` is the end of it."""

    def __init__(self, tree: Tree, max_steps: int):
        self.counts: dict[Key, Count] = {}
        self.steps_cut = 0
        self._tree = tree
        self._max_steps = max_steps
        self._steps: list[tuple[Count, str, list[int]]] = []

    def add(self, thread: Thread, count: Count, ns: int | None) -> None:
        """One call more of this combination: the thread's next step."""
        count.calls += 1
        if ns is not None:
            count.ns = (count.ns or 0) + ns
        if thread.last is count:
            self._steps[thread.step][2][0] += 1
        elif len(self._steps) < self._max_steps:
            self.step(thread, count)
        else:
            thread.last = None
            self.steps_cut += 1

    def new(self, key: Key) -> Count:
        """The count of a combination that was not seen before."""
        key = (*key[:3], intern(key[3]), intern(key[4]), *key[5:])
        count = self.counts[key] = Count(key)
        return count

    def step(self, thread: Thread, count: Count) -> None:
        """The thread's next step in the order."""
        thread.last, thread.step = count, len(self._steps)
        self._steps.append((count, thread.tid or "0", [1]))

    def again(self, thread: Thread, times: int) -> None:
        """The thread's last step happened so many times more."""
        self._steps[thread.step][2][0] += times

    @property
    def full(self) -> bool:
        """Whether there is no room for another step."""
        return len(self._steps) >= self._max_steps

    def result(
        self, arch: str | None, repeats: Repeats
    ) -> tuple[dict[CallKey, CallCount], list[Step]]:
        """The calls and steps by the keys of a Reading; the tally is empty after it."""
        calls: dict[CallKey, CallCount] = {}
        stepped = {id(count): count.key for count, _, _ in self._steps}
        keys = {number: self.call_key(key) for number, key in stepped.items()}
        names = set()
        while self.counts:
            bare, count = self.counts.popitem()
            names.add(bare[3])
            if not count.calls:
                continue
            row = calls.setdefault(keys.get(id(count)) or self.call_key(bare), CallCount())
            row.calls += count.calls
            if count.ns is not None:
                row.time_ns = (row.time_ns or 0) + count.ns
        calls = dict(reversed(calls.items()))
        names |= repeats(calls)
        narrow = {} if names.isdisjoint(ONLY_32_BIT) else _narrow(calls, arch)
        if narrow:
            calls = {_with_abi(key, narrow): row for key, row in calls.items()}
        for process, abi in narrow.items():
            self._tree.processes[process].abi = abi
        return calls, [
            _as_step(_with_abi(keys[id(count)], narrow), int(tid), times[0])
            for count, tid, times in self._steps
        ]

    def call_key(self, key: Key) -> CallKey:
        """The key that a Reading has for a combination."""
        process, abi, nr, name, outcome, index, index2, request = key
        process = self._tree.first(process)
        bare = _NUMBERED.match(name) if name.startswith("syscall_") else None
        value = number(nr) if nr is not None else number(bare[1]) if bare else None
        return CallKey(process, abi, value, None if bare else name, outcome, index, index2, request)


def _as_step(key: CallKey, tid: int, times: int) -> Step:
    return Step(
        key.process, tid, key.name, key.nr, key.abi, key.object, key.request, key.outcome, times
    )


def _narrow(calls: dict[CallKey, CallCount], arch: str | None) -> dict[int, str]:
    """Images that are 32-bit, though strace did not say so (with -o it is silent unless told
    otherwise): they make calls that no 64-bit ABI has."""
    abi = {"x86_64": "i386", "aarch64": "arm", "arm64": "arm"}.get(arch or "")
    if abi is None:
        return {}
    return {key.process: abi for key in calls if key.abi is None and key.name in ONLY_32_BIT}


def _with_abi(key: CallKey, narrow: dict[int, str]) -> CallKey:
    if key.abi is None and key.process in narrow:
        return key._replace(abi=narrow[key.process])
    return key
