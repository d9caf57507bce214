"""Puts a recording together: workload, collectors, system state, losses -> a closed capture.

The order of a run: resolve the command, ask the collectors what they can do, make the folder,
snapshot, fork the workload at its gate, start the collectors, open the gate, wait, stop the
collectors, snapshot, close. Whatever happens in between, the collectors are stopped and what was
recorded is kept.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kfoot import __version__
from kfoot.capture import Capture, CollectorEntry, Manifest
from kfoot.collect import snapshot
from kfoot.collect.base import Ability, Collector, Follower, Recorded, Scope
from kfoot.collect.ftrace import Ftrace
from kfoot.collect.strace import Strace
from kfoot.collect.supervise import Program, Workload, resolve
from kfoot.collect.watchdog import Watchdog
from kfoot.errors import KfootError, RecordError
from kfoot.readers.reading import Loss
from kfoot.targets.local import Local

Make = Callable[[Watchdog], Collector]
Say = Callable[[str], None]

COLLECTORS: dict[str, Make] = {
    "strace": Strace,
    "ftrace": Ftrace,
}
"""Every collector by the name --collector takes."""

AUTO: tuple[tuple[str, ...], ...] = (
    ("strace", "ftrace"),
    ("strace",),
    ("ftrace",),
)
"""What ``auto`` tries for a command, best evidence first; all collectors of a line must be able."""

GIVES = {
    "strace": "system calls with their arguments",
    "ftrace": "trace events",
}
"""What is missing when a collector does not take part, in words."""

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


def choose(
    collector: str, watchdog: Watchdog, candidates: Sequence[tuple[str, ...]] = AUTO
) -> tuple[list[Collector], list[str]]:
    """The collectors for ``--collector WORD`` and what is then not recorded, in words.

    ``collector`` is "auto", or names joined by "+" or ",". Raises RecordError when one that was
    asked for by name, or all of auto, cannot work here.
    """
    if collector != "auto":
        return _named(collector, watchdog), _left_out(collector)
    abilities: dict[str, Ability] = {}
    made: dict[str, Collector] = {}
    for names in candidates:
        for name in names:
            if name not in abilities:
                made[name] = COLLECTORS[name](watchdog)
                abilities[name] = made[name].probe()
        if all(abilities[name].can for name in names):
            return [made[name] for name in names], [
                _why_not(name, abilities[name]) for name in abilities if name not in names
            ]
    reasons = "; ".join(f"{name}: {ability.why_not}" for name, ability in abilities.items())
    raise RecordError(f"nothing can record here ({reasons})", hint="see `kfoot doctor`")


def _named(words: str, watchdog: Watchdog) -> list[Collector]:
    chosen = []
    for name in words.replace("+", ",").split(","):
        if name not in COLLECTORS:
            raise RecordError(
                f"there is no collector {name!r}", hint=f"there are: auto, {', '.join(COLLECTORS)}"
            )
        collector = COLLECTORS[name](watchdog)
        ability = collector.probe()
        if not ability.can:
            raise RecordError(f"{name} cannot record here: {ability.why_not}", hint=ability.mend)
        chosen.append(collector)
    return chosen


def _left_out(words: str) -> list[str]:
    names = words.replace("+", ",").split(",")
    return [
        f"{what}: {name} was not asked for" for name, what in GIVES.items() if name not in names
    ]


def _why_not(name: str, ability: Ability) -> str:
    mend = f" ({ability.mend})" if ability.mend else ""
    return f"{GIVES.get(name, name)}: {ability.why_not or 'not needed'}{mend}"


def record(
    argv: Sequence[str],
    *,
    use_case: str | None = None,
    out: Path | None = None,
    collector: str = "auto",
    env: Mapping[str, str] | None = None,
    say: Say = lambda text: None,
) -> Capture:
    """Run a command and record it. Returns the closed capture; its manifest has the exit status.

    ``say`` gets lines for the user while it runs. Raises KfootError with status 126 or 127 when the
    command cannot be run or found (no capture is left then), RecordError when kfoot fails.
    """
    program = resolve(argv[0], env)
    with ExitStack() as stack:
        watchdog = Watchdog()
        stack.callback(watchdog.close)
        collectors, not_recorded = choose(collector, watchdog)
        manifest = _manifest("run", use_case, argv, not_recorded)
        manifest.extra["program"] = _program(program)
        recording = Recording.begin(manifest, out, Path(argv[0]).name, collectors)
        command: Sequence[str] = list(argv)
        for each in collectors:
            command = each.wrap(command, recording.capture.raw)
        if list(command) != list(argv):
            program = resolve(command[0], env)
        workload = Workload(program, command, env=env)
        try:
            workload.start()
            stack.callback(workload.close)
            watchdog.guard_process(workload.pid, signal.SIGKILL)
            manifest.extra["gate"] = workload.pid
            recording.start(Scope(pids=(workload.pid,), gate=workload.pid))
            recording.opened()
            watchdog.forget_process(workload.pid)
            workload.release()
        except BaseException:
            workload.abandon()
            recording.discard()
            raise
        try:
            workload.wait(
                left=recording.tree_alive,
                tick=recording.tick,
                outlived=lambda: say(
                    "the command has ended; still recording what it left running"
                    " (Ctrl-C ends the recording)"
                ),
            )
        finally:
            if workload.ended is not None:
                manifest.exit_status = workload.ended.exit_status
                manifest.signal = workload.ended.signal
            if workload.interrupted:
                recording.lose(
                    Loss("detached", "tasks left running when the recording ended", None)
                )
            recording.finish()
    return recording.capture


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
        """Make the folder and take the state before."""
        capture = Capture.create(out, manifest, name=name)
        recording = cls(capture, collectors)
        try:
            recording._set_aside()
            recording._snapshot("before")
        except BaseException:
            recording.discard()
            raise
        return recording

    def start(self, scope: Scope) -> None:
        """Start all collectors; should one fail, those before it are stopped."""
        for collector in self.collectors:
            collector.start(scope, self.capture.raw)

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

    def finish(self) -> None:
        """Stop the collectors, take the state after, close the capture."""
        manifest = self.capture.manifest
        manifest.ended = time.time()
        for recorded in self._stop():
            manifest.collectors.append(_entry(recorded, self.capture.raw))
            for loss in recorded.losses:
                self.lose(loss)
        self._ballast.unlink(missing_ok=True)
        try:
            if self._during is not None:
                self.capture.write_snapshot("during", self._during)
            self._snapshot("after")
        except KfootError as error:
            self.lose(Loss("disk_full", f"system state after: {error}", None))
        self.capture.close()

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


def _manifest(
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


def _program(program: Program) -> dict[str, Any]:
    return {"path": program.path, "real": program.real, "interpreter": program.interpreter}
