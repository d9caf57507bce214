"""Ring buffer pages through ``kfoot._native``: what ``ring_buffer.scan`` gives, for gigabytes."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from kfoot.readers.base import Progress
from kfoot.readers.ftrace_format import Field
from kfoot.readers.ftrace_tally import Tally, keep_life
from kfoot.readers.native import native, threads_here
from kfoot.readers.ring_buffer import NEVER_NS, Calls, Plan, Stream, life_of, lives_in

WINDOW = 8 << 20
"""Bytes of pages one thread takes at a time: the bound of what waits for its order."""
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

    Raises OSError when compressed pages cannot be unpacked into a temporary file.
    """
    lives = lives_in(plan)
    with ExitStack() as stack:
        buffers = _buffers(stack, streams)
        total = sum(len(buffer) for buffer in buffers)
        ring = _ring(module, buffers, plan, sorted(lives), threads or threads_here(), window)
        tally = Tally()
        if plan.gate is not None and plan.event(("sched", "sched_process_exec")):
            ring.find_gate()
        while step := ring.step():
            done, rows = step
            for at, id, tid, data in rows:
                life = life_of(lives[id], tid, data, "<")
                if life is None:
                    streams[at].damage.corrupt += 1
                else:
                    keep_life(tally, life)
            if progress is not None:
                progress(int(done * total), total)
        found = ring.end()
        del ring
    for stream, row in zip(streams, found["damage"], strict=True):
        damage = stream.damage
        damage.missed, damage.silent, corrupt, damage.disordered, damage.torn = row
        damage.corrupt += corrupt
    for name in ("events", "calls", "first", "last"):
        setattr(tally, name, found[name])
    return tally


def _ring(
    module: ModuleType,
    buffers: list[bytes | memoryview],
    plan: Plan,
    lives: list[int],
    threads: int,
    window: int,
) -> Any:
    calls = Calls.of(plan)
    exec_ = plan.event(("sched", "sched_process_exec"))
    return module.Ring(
        threads=threads,
        streams=buffers,
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
        lives=lives,
        ioctl=plan.ioctl,
        until=NEVER_NS if plan.until_ns is None else plan.until_ns,
        gate=plan.gate if plan.gate is not None and -_HALF <= plan.gate < _HALF else None,
        window=window,
        mapped=True,
    )


def _field(field: Field | None) -> tuple[int, int, bool] | None:
    return None if field is None else (field.offset, field.size, field.signed)


def _buffers(stack: ExitStack, streams: list[Stream]) -> list[bytes | memoryview]:
    """The bytes of all streams; what is compressed is unpacked side by side."""
    contexts = [_bytes(stream) for stream in streams]
    if all(stream.region is not None for stream in streams):
        return [stack.enter_context(context) for context in contexts]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads_here()) as pool:
        return list(pool.map(stack.enter_context, contexts))


@contextmanager
def _bytes(stream: Stream) -> Iterator[bytes | memoryview]:
    """All bytes of a stream: the file's own pages, or unpacked into a file without a name."""
    if stream.region is not None:
        path, offset, size = stream.region
        with _mapped(path, offset, size) as found:
            yield found
        return
    import tempfile

    with tempfile.TemporaryFile(prefix="kfoot-") as file:
        size = 0
        for block in stream.blocks():
            size += file.write(block)
        file.flush()
        if size == 0:
            yield b""
            return
        with (
            mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
        ):
            yield view


@contextmanager
def _mapped(path: Path, offset: int, size: int) -> Iterator[bytes | memoryview]:
    if size == 0:
        yield b""
        return
    low = offset - offset % mmap.ALLOCATIONGRANULARITY
    with (
        path.open("rb") as file,
        mmap.mmap(
            file.fileno(), offset - low + size, access=mmap.ACCESS_READ, offset=low
        ) as mapped,
        memoryview(mapped) as view,
        view[offset - low :] as part,
    ):
        yield part
