"""Attaches a counter to every trace event the kernel has."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence

from kfoot.collect import tracefs
from kfoot.collect.bpf import libbpf
from kfoot.collect.bpf.holder import Holder
from kfoot.collect.bpf.layout import (
    EVENT_COUNT,
    INTERRUPT_EXIT,
    INTERRUPT_HARD,
    MARK,
)

CONTEXTS = ("task", "softirq", "hardirq", "nmi")
"""In the order of enum context (src/interrupts.h)."""

Event = tuple[str, str]
"""System and name."""

SWITCH = ("sched", "sched_switch")

_ELSEWHERE = frozenset(
    {"syscalls", "raw_syscalls", "ftrace", "kprobes", "uprobes", "synthetic", "csd_dummy"}
)
"""Not counted: other programs record system calls; the rest are no tracepoints (of the kernel's
own: somebody's probes, and names that stand for nothing)."""
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
"""Numbers of the mount calls of Linux 5.2, the same on all architectures."""
_CONFIG_CREATE = 6


def available() -> list[Event]:
    """The kernel's trace events that can be counted, sorted; also where tracefs is not mounted.

    Raises OSError when the kernel does not tell."""
    text = tracefs_file("available_events")
    events = {(system, name) for system, _, name in (x.partition(":") for x in text.split())}
    return sorted(event for event in events if event[0] not in _ELSEWHERE)


def tracefs_file(name: str) -> str:
    """A file of tracefs, wherever it is mounted, or not. Raises OSError."""
    root = tracefs.mounted()
    if root is not None:
        return (root / name).read_text("utf-8", "replace")
    return _unmounted(name)


def _unmounted(name: str) -> str:
    """A file of a tracefs that is attached nowhere and vanishes when closed."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(number: int, *arguments: object) -> int:
        result = int(libc.syscall(ctypes.c_long(number), *arguments))
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "tracefs")
        return result

    context = call(_FSOPEN, b"tracefs", 0)
    try:
        call(_FSCONFIG, context, _CONFIG_CREATE, None, None, 0)
        mount = call(_FSMOUNT, context, 0, 0)
    finally:
        os.close(context)
    try:
        with open(os.open(name, os.O_RDONLY, dir_fd=mount), "rb") as file:
            return file.read().decode("utf-8", "replace")
    finally:
        os.close(mount)


def interrupt(event: Event) -> int | None:
    """How an event marks the entry or exit of an interrupt, None for one that does not."""
    system, name = event
    hard = system == "irq_vectors" or name.startswith("irq_handler_") or system == "ipi"
    if not hard and name not in ("softirq_entry", "softirq_exit"):
        return None
    if not name.endswith(("_entry", "_exit")):
        return None
    return INTERRUPT_HARD * hard + INTERRUPT_EXIT * name.endswith("_exit")


class Counters:
    """A counter on each of ``events``; ``depth``: interrupts are told by their events.

    Loading begins at once, in a process of its own (see ``holder``), and ``attach`` waits for it.
    """

    def __init__(
        self,
        library: libbpf.Library,
        loaded: libbpf.Object,
        events: Sequence[Event],
        depth: bool,
    ):
        self._library = library
        self._map = loaded.map("events")
        self._events = events
        # The task switch first: the others rely on it (struct processor in src/shared.h). Exits
        # before entries: an entry counted without its exit would never be undone.
        self._order = sorted(
            range(len(events)),
            key=lambda number: (
                events[number] != SWITCH,
                not (interrupt(events[number]) or 0) & INTERRUPT_EXIT,
            ),
        )
        self.refused: list[Event] = []
        """Those the kernel did not take a counter on."""
        plain, interrupts = loaded.code("on_event"), loaded.code("on_interrupt")
        switch = loaded.code("on_switch")
        programs = []
        for number in self._order:
            event = events[number]
            mark = interrupt(event) if depth else None
            template = switch if event == SWITCH else plain if mark is None else interrupts
            code = template.replace(MARK, struct.pack("<I", number | (mark or 0)))
            programs.append((event[1], code))
        self._holder = Holder(library, programs) if programs else None

    @property
    def pid(self) -> int | None:
        """The process that holds them."""
        return self._holder.pid if self._holder is not None else None

    def attach(self) -> int:
        """Gives how many are attached. Raises BpfError and RecordError."""
        if self._holder is None:
            return 0
        self.refused = [self._events[self._order[index]] for index in self._holder.attach()]
        return len(self._events) - len(self.refused)

    def stop(self) -> int:
        """Let them be detached. Gives how many events were not counted because their own counter
        was running on that CPU already: it can only have been interrupted, so these are events in
        interrupt context. Raises BpfError when the counters had gone before."""
        return self._holder.stop() if self._holder is not None else 0

    def close(self) -> None:
        """Detach them if that was not done."""
        if self._holder is not None:
            self._holder.close()

    def counts(self) -> dict[Event, list[int]]:
        """Counts by context of each event that fired."""
        names = dict(enumerate(self._events))
        found: dict[Event, list[int]] = {}
        size = EVENT_COUNT.size * self._library.cpus
        for keys, values, n in libbpf.batches(self._library, self._map, 4, size):
            for i in range(n):
                value = values[i * size : (i + 1) * size]
                (number,) = struct.unpack_from("<I", keys, i * 4)
                if number in names and any(value):
                    columns = zip(*EVENT_COUNT.iter_unpack(value), strict=True)
                    found[names[number]] = [sum(column) for column in columns]
        return found
