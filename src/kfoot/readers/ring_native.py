"""Ring buffer pages through ``kfoot._native``: what ``ring_buffer.scan`` gives, for gigabytes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from types import ModuleType
from typing import Any

from kfoot.readers.base import Progress
from kfoot.readers.call_counts import CallCounts
from kfoot.readers.ftrace_format import Field
from kfoot.readers.ftrace_tally import Tally, keep_life
from kfoot.readers.native import native, threads_here
from kfoot.readers.ring_apart import Apart
from kfoot.readers.ring_buffer import NEVER_NS, Calls, Plan, Stream, life_of, lives_in

WINDOW = 4 << 20
"""Bytes of pages one thread takes at a time: the bound of what waits for its order."""
_MOST_TWICE = 256
"""Files that are opened twice: a process may have a thousand open (RLIMIT_NOFILE)."""
_HALF = 1 << 31
"""Of the task numbers a record can hold."""


def usable(plan: Plan) -> ModuleType | None:
    """The extension, where it can read such pages: it knows little-endian ones only."""
    return None if plan.page.big_endian or sys.byteorder != "little" else native()


def scan(
    module: ModuleType,
    streams: list[Stream],
    plan: Plan,
    progress: Progress | None = None,
    threads: int = 0,
    window: int = WINDOW,
) -> Tally:
    """Count all records of all CPUs, as ``ring_buffer.scan``, with the gate left out.

    Raises OSError when pages cannot be read, or compressed ones not be unpacked into a temporary
    file.
    """
    with ExitStack() as stack:
        files = _files(stack, streams)
        for ring in _rings(stack, module, files, plan, threads, window):
            found = _counts(ring, streams, plan, sum(file[-1] for file in files), progress)
            if found is not None:
                return found
    raise AssertionError("pages that are in order are not")


def scan_apart(
    module: ModuleType,
    streams: list[Stream],
    plan: Plan,
    apart: Apart,
    threads: int = 0,
    window: int = WINDOW,
) -> tuple[CallCounts, CallCounts]:
    """Count the calls of all tasks by ABI, as ``ring_apart.count``.

    Raises OSError as ``scan``.
    """
    with ExitStack() as stack:
        files = _files(stack, streams)
        for ring in _rings(stack, module, files, plan, threads, window, apart):
            _find_gate(ring, plan)
            while ring.step():
                pass
            found = ring.end()
            if found is not None:
                return found["calls"], found["compat_calls"]
    raise AssertionError("pages that are in order are not")


def _rings(
    stack: ExitStack,
    module: ModuleType,
    files: list[tuple[int, int, int, int]],
    plan: Plan,
    threads: int,
    window: int,
    apart: Apart | None = None,
) -> Iterator[Any]:
    """Scanners of the same: the second is to be taken where the first one gives None.

    The time of nearly all pages runs forward; only where it does not, all are gone through
    beforehand to set it right.
    """
    for indexed in (False, True):
        ring = _ring(module, files, plan, indexed, threads or threads_here(), window, apart)
        stack.callback(ring.stop)
        yield ring


def _find_gate(ring: Any, plan: Plan) -> None:
    if plan.gate is not None and plan.event(("sched", "sched_process_exec")):
        ring.find_gate()


def _counts(
    ring: Any, streams: list[Stream], plan: Plan, total: int, progress: Progress | None
) -> Tally | None:
    """All that is counted; None when the order of the pages is not what was thought."""
    lives = lives_in(plan)
    tally = Tally()
    unread = [0] * len(streams)
    _find_gate(ring, plan)
    while step := ring.step():
        done, rows = step
        for at, id, tid, data in rows:
            life = life_of(lives[id], tid, data, "<")
            if life is None:
                unread[at] += 1
            else:
                keep_life(tally, life)
        if progress is not None:
            progress(int(done * total), total)
    found = ring.end()
    if found is None:
        return None
    for stream, row, more in zip(streams, found["damage"], unread, strict=True):
        damage = stream.damage
        damage.missed, damage.silent, corrupt, damage.disordered, damage.torn = row
        damage.corrupt = corrupt + more
    for name in ("events", "calls", "first", "last"):
        setattr(tally, name, found[name])
    return tally


def _ring(
    module: ModuleType,
    files: list[tuple[int, int, int, int]],
    plan: Plan,
    indexed: bool,
    threads: int,
    window: int,
    apart: Apart | None = None,
) -> Any:
    calls = Calls.of(plan)
    exec_ = plan.event(("sched", "sched_process_exec"))
    return module.Ring(
        threads=threads,
        streams=files,
        page=plan.page.page,
        data=plan.page.data,
        commit=plan.page.commit,
        enter=-1 if calls.enter is None else calls.enter,
        enter_nr=_field(calls.nr),
        request=_field(calls.request),
        leave=-1 if calls.exit is None else calls.exit,
        leave_nr=_field(calls.exit_nr),
        ret=_field(calls.ret),
        exec=exec_.id if exec_ else -1,
        lives=sorted(lives_in(plan) if apart is None else apart.beside),
        ioctl=plan.ioctl,
        until=NEVER_NS if plan.until_ns is None else plan.until_ns,
        gate=plan.gate if plan.gate is not None and -_HALF <= plan.gate < _HALF else None,
        window=window,
        indexed=indexed,
        apart=None if apart is None else _words(apart),
    )


def _words(apart: Apart) -> tuple[int, list[int], list[int], list[int]]:
    """As ``tell_apart`` of native/ring_type.c takes it."""
    return (
        apart.narrow_ioctl,
        sorted(apart.narrow_execs),
        sorted(apart.execs),
        sorted(tid for tid in apart.announced if -_HALF <= tid < _HALF),
    )


def _field(field: Field | None) -> tuple[int, int, bool] | None:
    return None if field is None else (field.offset, field.size, field.signed)


def _files(stack: ExitStack, streams: list[Stream]) -> list[tuple[int, int, int, int]]:
    """(descriptor, another one to look for pages, offset, size) of all streams; what is compressed
    is unpacked side by side."""
    twice = len(streams) <= _MOST_TWICE
    contexts = [_file(stream, twice) for stream in streams]
    if all(stream.region is not None for stream in streams):
        return [stack.enter_context(context) for context in contexts]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads_here()) as pool:
        return list(pool.map(stack.enter_context, contexts))


@contextmanager
def _file(stream: Stream, twice: bool) -> Iterator[tuple[int, int, int, int]]:
    """The file's own pages, or those unpacked into a file without a name."""
    if stream.region is not None:
        path, offset, size = stream.region
        with path.open("rb") as file, path.open("rb") if twice else nullcontext(file) as other:
            yield file.fileno(), other.fileno(), offset, size
        return
    import tempfile

    with tempfile.TemporaryFile(prefix="kfoot-") as unpacked:
        size = sum(unpacked.write(block) for block in stream.blocks())
        unpacked.flush()
        yield unpacked.fileno(), unpacked.fileno(), 0, size
