"""Reader ``trace-dat``: the files of ``trace-cmd record``, read without trace-cmd.

Machine and release come from the file's own uname. Every trace instance in the file is counted;
calls are taken from the first one that recorded raw_syscalls.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from kfoot.errors import InputError
from kfoot.readers.base import Options
from kfoot.readers.event_counts import EventTable
from kfoot.readers.files import plain_file
from kfoot.readers.ftrace_format import PageFormat
from kfoot.readers.ftrace_tally import NANOSECOND_CLOCKS, Tally, ioctl_number, until_ns
from kfoot.readers.reading import Loss, Reading
from kfoot.readers.ring_abi import set_apart
from kfoot.readers.ring_buffer import Plan, Stream
from kfoot.readers.ring_reading import count, losses_of, reading_of
from kfoot.readers.trace_dat_file import MAGIC, Buffer, CpuData, TraceDat, chunks, parse

_BLOCK = 1 << 20


class TraceDatReader:
    """The reader (see ``kfoot.readers.base.Reader``). One file a reading."""

    name = "trace-dat"

    def sniff(self, path: Path, head: bytes) -> bool:
        return head.startswith(MAGIC)

    def read(self, paths: Sequence[Path], options: Options) -> Reading:
        path = paths[0]
        if len(paths) > 1:
            raise InputError(paths[1], "is a second trace.dat", expected="one at a time")
        with plain_file(path) as plain:
            return self._read_plain(path, plain, options)

    def _read_plain(self, path: Path, plain: Path, options: Options) -> Reading:
        try:
            with plain.open("rb") as file:
                found = parse(path, file)
        except OSError as error:
            raise InputError(path, f"cannot be read: {error.strerror}") from None
        found.unpacked = plain
        if not found.buffers and found.has_text:
            raise InputError(
                path,
                "holds the text of a latency tracer, not records",
                hint=f"`trace-cmd report {path.name} > trace.txt` gives that text to import",
            )
        if not found.formats:
            raise InputError(path, "has no event formats", expected="a complete trace.dat")
        return _read(found, options)


def _read(found: TraceDat, options: Options) -> Reading:
    arch = found.uname[-1] if len(found.uname) >= 4 else options.arch
    page = found.page or PageFormat(big_endian=found.order == ">")
    total: Tally | None = None
    losses: list[Loss] = []
    plan = Plan(page, found.formats, ioctl=ioctl_number(arch), until_ns=until_ns(options.until_s))
    for buffer in found.buffers:
        broken: list[Loss] = []
        plan = replace(plan, page=page._replace(page=buffer.page_bytes))
        streams = [_stream(found, data, options, broken) for data in buffer.cpus]
        tally = count(streams, plan, options.progress)
        # It does not say which events were enabled, only which ones it may have.
        losses += set_apart(streams, plan, tally, arch, all_events=False)
        tally.timed = (buffer.clock or found.clock or "local") in NANOSECOND_CLOCKS
        statistics = found.statistics if buffer.name == "" else {}
        losses += [*broken, *losses_of(streams, statistics, _where(found, buffer))]
        total = tally if total is None else _add(total, tally)
    if total is None:
        raise InputError(found.path, "has no trace data", expected="a complete trace.dat")
    total.late_comms = found.comms
    reading = reading_of(total, plan, TraceDatReader.name, found.path.name, arch)
    reading.losses += losses
    reading.facts.release = found.uname[-2] if len(found.uname) >= 4 else None
    reading.facts.tool = found.tool or "trace-cmd"
    return reading


def _where(found: TraceDat, buffer: Buffer) -> str:
    return f"{found.path.name}/{buffer.name}" if buffer.name else found.path.name


def _stream(found: TraceDat, data: CpuData, options: Options, broken: list[Loss]) -> Stream:
    size = found.bytes_at.stat().st_size
    here = max(0, min(data.size, size - data.offset))
    if here < data.size:
        lack = f"{found.path.name}/cpu{data.cpu}: {data.size - here} bytes behind the file's end"
        broken.append(Loss("truncated", lack, None))

    def blocks() -> Iterator[bytes]:
        with found.bytes_at.open("rb") as file:
            if data.compressed:
                try:
                    for chunk in chunks(found, file, data):
                        yield chunk
                        if options.progress is not None:
                            options.progress(file.tell(), size)
                except InputError as error:
                    loss = Loss("truncated", f"{found.path.name}/cpu{data.cpu}: {error}", None)
                    if loss not in broken:
                        broken.append(loss)
                return
            file.seek(data.offset)
            left = here
            while left > 0 and (block := file.read(min(left, _BLOCK))):
                left -= len(block)
                yield block
                if options.progress is not None:
                    options.progress(file.tell(), os.fstat(file.fileno()).st_size)

    region = None if data.compressed else (found.bytes_at, data.offset, here)
    return Stream(data.cpu, blocks, region)


def _add(total: Tally, more: Tally) -> Tally:
    """Two instances of one kernel: events add up, calls are the same ones seen again."""
    events = EventTable()
    events.add(total.events)
    events.add(more.events)
    total.events = events
    if not total.calls and not total.compat_calls:
        total.calls, total.compat_calls = more.calls, more.compat_calls
        total.abi_told = more.abi_told
    if not total.lives:
        total.lives = more.lives
    bounds = [(total.first, more.first, min), (total.last, more.last, max)]
    total.first, total.last = (
        b if a is None else a if b is None else pick(a, b) for a, b, pick in bounds
    )
    total.timed = total.timed and more.timed
    return total


READER = TraceDatReader()
