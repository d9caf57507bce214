"""Building an atlas: one pass over the source, scanning in worker processes, then the rules."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.build.source import Source, release_of
from kfoot.atlas.schema import Row
from kfoot.errors import InputError

RULES = 1
"""Version of the rules; raised whenever the same source would give other rows."""

BUILDERS: tuple[str, ...] = (
    "maintainers:MaintainersBuilder",
    "areas:AreasBuilder",
    "kconfig:KconfigBuilder",
    "kbuild:KbuildBuilder",
    "files:FilesBuilder",
    "features:FeaturesBuilder",
    "syscalls:Syscalls",
    "missing:MissingSyscallsBuilder",
    "handlers:Handlers",
    "sockets:Sockets",
    "devices:Devices",
    "events:Events",
    "functions:Functions",
    "ioctls:Ioctls",
)
"""Rule-sets as "module:Class" below kfoot.atlas.build."""

REGISTERS = "drivers/gpu/drm/amd/include/asic_reg/"
"""Generated headers, a third of the whole source by size, with nothing but register numbers."""

BATCH = 2 << 20
"""Bytes handed to a worker at a time."""

Progress = Callable[[str, float | None], None]
"""Called with what is being done and, while reading, the fraction done."""

Facts = tuple[int, str, Any]
"""Number of the builder, path, what its ``scan`` found."""


class Built:
    """What a build gives: the header and the rows for ``store.pack``."""

    def __init__(self, header: dict[str, Any], tables: dict[str, list[Row]]):
        self.header = header
        self.tables = tables


def load(names: Sequence[str]) -> list[Builder]:
    """New builders, in order."""
    out = []
    for name in names:
        module, _, cls = name.partition(":")
        out.append(getattr(import_module(f"kfoot.atlas.build.{module}"), cls)())
    return out


def build(
    source: Path,
    *,
    architectures: Sequence[str] = (),
    jobs: int | None = None,
    progress: Progress | None = None,
    names: Sequence[str] = BUILDERS,
) -> Built:
    """Compute every table from a kernel source.

    ``jobs``: worker processes (default: one a CPU; 0 scans in this process). Raises InputError
    when the source cannot be read.
    """
    say = progress or (lambda text, fraction: None)
    opened = Source(source)
    builders = load(names)
    with tempfile.TemporaryDirectory(prefix="kfoot-atlas-") as folder:
        reading = _Reading(opened, builders, Path(folder), say)
        for number, path, facts in reading.scanned(names, os.cpu_count() if jobs is None else jobs):
            builders[number].take(path, facts)
        context = Context(
            release=reading.release(),
            paths=opened.paths,
            tree=Path(folder),
            architectures=tuple(architectures),
        )
        tables: dict[str, list[Row]] = {}
        for builder in _ordered(builders):
            say(builder.name, None)
            for name, rows in builder.finish(context).items():
                tables.setdefault(name, []).extend(rows)
            context.built[builder.name] = builder
        say("done", None)
    header = {
        "release": context.release,
        "source": opened.name,
        "source_sha256": opened.sha256,
        "rules": RULES,
        "architectures": list(architectures),
        "notes": context.notes,
    }
    return Built(header, tables)


def _ordered(builders: Sequence[Builder]) -> Iterator[Builder]:
    """Each after those it needs. A need that is not among them is left out."""
    names = {builder.name for builder in builders}
    done: set[str] = set()
    waiting = list(builders)
    while waiting:
        ready = [b for b in waiting if done.issuperset(names.intersection(b.needs))]
        if not ready:
            raise ValueError(f"builders need each other: {[b.name for b in waiting]}")
        for builder in ready:
            yield builder
            done.add(builder.name)
        waiting = [builder for builder in waiting if builder not in ready]


class _Reading:
    """The pass over the source."""

    def __init__(self, source: Source, builders: list[Builder], tree: Path, say: Progress):
        self.source = source
        self.builders = builders
        self.tree = tree
        self.say = say
        self.makefile = b""

    def release(self) -> str:
        try:
            return release_of(self.makefile)
        except ValueError as error:
            raise InputError(
                self.source.path, f"Makefile: {error}", expected="the Makefile of a Linux kernel"
            ) from None

    def scanned(self, names: Sequence[str], jobs: int | None) -> Iterator[Facts]:
        """Facts in the source's order."""
        if not jobs:
            for batch in self._batches():
                yield from _scan(self.builders, batch)
            return
        running: deque[Future[list[Facts]]] = deque()
        with ProcessPoolExecutor(jobs, initializer=_start, initargs=(names,)) as pool:
            try:
                for batch in self._batches():
                    running.append(pool.submit(_work, batch))
                    while running and (len(running) > 2 * jobs + 2 or running[0].done()):
                        yield from running.popleft().result()
                while running:
                    yield from running.popleft().result()
            finally:
                for future in running:
                    future.cancel()

    def _batches(self) -> Iterator[list[tuple[str, bytes]]]:
        kept = [builder for builder in self.builders if _overrides(builder)]
        seen: dict[str, bool] = {}

        def keep(path: str) -> bool:
            return any(builder.keeps(path) for builder in kept)

        def wanted(path: str) -> bool:
            seen[path] = not path.startswith(REGISTERS) and any(
                builder.wants(path) for builder in self.builders
            )
            return seen[path] or path == "Makefile" or keep(path)

        batch: list[tuple[str, bytes]] = []
        size = 0
        for path, data in self.source.walk(wanted):
            if path == "Makefile":
                self.makefile = data
            if keep(path):
                self._write(path, data)
            if not seen.pop(path):
                continue
            batch.append((path, data))
            size += len(data)
            if size >= BATCH:
                yield batch
                batch, size = [], 0
                total = self.source.size
                self.say("reading", self.source.done / total if total else None)
        if batch:
            yield batch

    def _write(self, path: str, data: bytes) -> None:
        file = self.tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def _overrides(builder: Builder) -> bool:
    return type(builder).keeps is not Builder.keeps


def _scan(builders: Sequence[Builder], batch: list[tuple[str, bytes]]) -> list[Facts]:
    out: list[Facts] = []
    for path, data in batch:
        for number, builder in enumerate(builders):
            if builder.wants(path):
                facts = builder.scan(path, data)
                if facts is not None:
                    out.append((number, path, facts))
    return out


_workers: list[Builder] = []
"""The builders of a worker process."""


def _start(names: Sequence[str]) -> None:
    _workers[:] = load(names)


def _work(batch: list[tuple[str, bytes]]) -> list[Facts]:
    return _scan(_workers, batch)
