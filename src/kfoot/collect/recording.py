"""One recording under way: a capture folder being filled by collectors and snapshots."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kfoot import __version__
from kfoot.capture import Capture, CollectorEntry, Manifest
from kfoot.collect import snapshot
from kfoot.collect.base import Collector, Follower, Recorded, Scope
from kfoot.collect.choice import GIVES
from kfoot.collect.threads import Beside
from kfoot.errors import KfootError, RecordError
from kfoot.readers.reading import Loss
from kfoot.targets.local import Local

_SAMPLE_S = 1.0
"""Seconds between looks at module use counts while the workload runs."""
_BALLAST = 256 * 1024
"""Bytes set aside in the capture, so that a full disk leaves room for the manifest."""

ABIS = {
    "x86_64": ("x86_64", "i386"),
    "aarch64": ("arm64", "arm"),
    "i686": ("i386",),
    "i586": ("i386",),
    "armv7l": ("arm",),
    "armv6l": ("arm",),
}
"""Machine of uname(2) -> ABIs its kernel may serve, its own first."""


class Recording:
    """One recording under way: a capture being filled by collectors."""

    def __init__(self, capture: Capture, collectors: list[Collector]):
        self.capture = capture
        self.collectors = collectors
        self._target = Local()
        self._during: snapshot.State | None = None
        self._next_sample = 0.0
        self._ballast = capture.path / ".ballast"

    @classmethod
    def begin(
        cls, manifest: Manifest, out: Path | None, name: str, collectors: list[Collector]
    ) -> Recording:
        """Make the folder."""
        capture = Capture.create(out, manifest, name=name)
        recording = cls(capture, collectors)
        try:
            recording._set_aside()
        except BaseException:
            recording.discard()
            raise
        return recording

    def start(
        self, scope: Scope, *, spare: bool = False, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        """Start all collectors, and beside them take the state before and do ``meanwhile``; with
        ``spare`` a collector that fails is done without, and the manifest says so, as long as
        another works. Raises KfootError.
        """

        def beside() -> None:
            self._snapshot("before")
            meanwhile()

        other = Beside(beside, "kfoot-before")
        try:
            self._start(scope, spare)
        finally:
            other.wait()

    def _start(self, scope: Scope, spare: bool) -> None:
        """Which files each collector has begun is noted at once, so that a capture whose kfoot was
        killed can still be read."""
        known: set[Path] = set()
        for collector in list(self.collectors):
            try:
                collector.start(scope, self.capture.raw)
            except RecordError as error:
                if not spare or len(self.collectors) == 1:
                    raise
                collector.stop()
                self.collectors.remove(collector)
                what = GIVES.get(collector.name, collector.name)
                self.capture.manifest.not_recorded.append(f"{what}: {error}")
                continue
            begun = {path for path in self.capture.raw.rglob("*") if path.is_file()} - known
            known |= begun
            self.capture.manifest.collectors.append(
                _entry(
                    Recorded(collector.name, None, format=collector.format, files=sorted(begun)),
                    self.capture.raw,
                )
            )

    def opened(self) -> None:
        """The workload may go: note the time on the clocks raw files are in."""
        manifest = self.capture.manifest
        manifest.started = time.time()
        manifest.extra["clock"] = {"mono": time.monotonic(), "realtime": time.time()}
        self._next_sample = time.monotonic() + _SAMPLE_S / 2
        self.capture.save()

    def tick(self) -> None:
        """Called now and then while the workload runs."""
        if time.monotonic() >= self._next_sample:
            self._next_sample = time.monotonic() + _SAMPLE_S
            self._during = snapshot.merge_modules(self._during, self._target)

    def tree_alive(self) -> bool:
        """Whether a collector still sees tasks of the workload."""
        return any(
            collector.tree_alive()
            for collector in self.collectors
            if isinstance(collector, Follower)
        )

    def lose(self, loss: Loss) -> None:
        """Note a loss once."""
        row = {"kind": loss.kind, "where": loss.where, "count": loss.count}
        if row not in self.capture.manifest.losses:
            self.capture.manifest.losses.append(row)

    def size(self) -> int:
        """Bytes recorded so far."""
        return sum(path.stat().st_size for path in self.capture.raw.rglob("*"))

    def finish(self, *, trim_s: float = 0.0) -> None:
        """Stop the collectors, take the state after, close the capture.

        ``trim_s`` seconds at the end are left out of the evidence (not of the raw files); from a
        recording that is not longer than that nothing is left out, and the manifest says so.
        """
        manifest = self.capture.manifest
        manifest.ended = time.time()
        self._trim(time.monotonic(), trim_s)
        entries = {entry.name: entry for entry in manifest.collectors}
        for recorded in self._stop():
            entries[recorded.name] = _entry(recorded, self.capture.raw)
            for loss in recorded.losses:
                self.lose(loss)
        manifest.collectors = list(entries.values())
        self._ballast.unlink(missing_ok=True)
        try:
            if self._during is not None:
                self.capture.write_snapshot("during", self._during)
            self._snapshot("after")
        except KfootError as error:
            self.lose(Loss("disk_full", f"system state after: {error}", None))
        self.capture.close()

    def _trim(self, end: float, trim_s: float) -> None:
        """``window`` is on the clock of trace events, CLOCK_MONOTONIC; strace's is the realtime
        clock, whose distance at the beginning is in ``extra.clock``."""
        if not trim_s:
            return
        manifest = self.capture.manifest
        begin = manifest.extra["clock"]["mono"]
        if end - begin <= trim_s:
            manifest.not_recorded.append(
                f"the tail is in: the recording ended after {end - begin:.1f} s, before"
                f" {trim_s:g} s could be left out"
            )
            return
        manifest.window = {"from_s": begin, "to_s": end - trim_s, "trimmed_s": trim_s}

    def discard(self) -> None:
        """Nothing ran: stop what was started, leave no folder."""
        self._stop()
        shutil.rmtree(self.capture.path, ignore_errors=True)

    def _stop(self) -> list[Recorded]:
        """Stop all, in reverse order of their start; one that fails is a loss, not the end."""
        done = []
        for collector in reversed(self.collectors):
            try:
                done.append(collector.stop())
            except (KfootError, OSError) as error:
                self.lose(Loss("detached", f"{collector.name}: {error}", None))
        self.collectors = []
        return list(reversed(done))

    def _snapshot(self, when: str) -> None:
        state, config = snapshot.take(self._target)
        if config is not None and when == "before":
            (self.capture.system / "config.txt").write_text(
                config, encoding="utf-8", errors="surrogateescape"
            )
            self.capture.manifest.config_sha256 = state["config"]["sha256"]
        self.capture.write_snapshot(when, state)

    def _set_aside(self) -> None:
        try:
            with self._ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, _BALLAST)
        except OSError as error:
            raise RecordError(f"no room in {self.capture.path}: {error.strerror}") from error


def _entry(recorded: Recorded, raw: Path) -> CollectorEntry:
    return CollectorEntry(
        recorded.name,
        recorded.version,
        dict(recorded.options),
        recorded.format,
        [path.relative_to(raw).as_posix() for path in recorded.files],
    )


def new_manifest(
    kind: str, use_case: str | None, argv: Sequence[str], not_recorded: list[str]
) -> Manifest:
    uname = os.uname()
    return Manifest(
        kind=kind,
        use_case=use_case,
        argv=list(argv),
        cwd=os.getcwd(),
        release=uname.release,
        build=uname.version,
        arch=uname.machine,
        abis=list(ABIS.get(uname.machine, (uname.machine,))),
        not_recorded=not_recorded,
        kfoot=__version__,
    )
