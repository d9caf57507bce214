"""Records a running system, service or process for a time: ELISA's method.

State of the system before, all trace events for a duration, state during and after; the tail, in
which the person who watches types the commands that end it, is left out of the evidence.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from kfoot.capture import Capture
from kfoot.collect.base import Scope
from kfoot.collect.choice import AUTO_TRIMMED, AUTO_WATCH, choose
from kfoot.collect.recording import Recording, new_manifest
from kfoot.collect.supervise import heeded
from kfoot.collect.watchdog import Watchdog
from kfoot.errors import RecordError

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TICK = 0.2
_CGROUP_ROOTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")

Progress = Callable[[float, int], None]
"""Called with the seconds that have passed and the bytes recorded so far."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What to watch; nothing set means the whole system."""

    pid: int | None = None
    unit: str | None = None
    cgroup: str | None = None

    def scope(self) -> Scope:
        """Raises RecordError when it is not there."""
        if self.pid is not None:
            if not Path(f"/proc/{self.pid}").is_dir():
                raise RecordError(f"there is no process {self.pid}")
            return Scope(pids=(self.pid,))
        cgroup = self.cgroup
        if self.unit is not None:
            cgroup = _cgroup_of(self.unit)
        if cgroup is not None:
            return Scope(cgroup=_cgroup_folder(cgroup))
        return Scope(whole_system=True)

    def words(self) -> str:
        """For the name of the capture."""
        return self.unit or self.cgroup or (f"pid-{self.pid}" if self.pid else "system")


def watch(
    watched: Watched,
    *,
    duration_s: float,
    trim_tail_s: float = 0.0,
    use_case: str | None = None,
    out: Path | None = None,
    collector: str = "auto",
    progress: Progress = lambda seconds, size: None,
) -> Capture:
    """Record until the time is over, what is watched has ended, or someone interrupts.

    Returns the closed capture. Raises RecordError when nothing can be recorded. Use from the main
    thread.
    """
    if trim_tail_s >= duration_s:
        raise RecordError("the tail to trim is as long as the whole recording")
    scope = watched.scope()
    with ExitStack() as stack:
        watchdog = Watchdog()
        stack.callback(watchdog.close)
        candidates = AUTO_TRIMMED if trim_tail_s else AUTO_WATCH
        collectors, not_recorded = choose(collector, watchdog, candidates)
        if scope.whole_system:
            not_recorded.append("kfoot's own tasks: what they write would be recorded in turn")
        elif scope.cgroup:
            not_recorded.append("tasks that join the cgroup from outside after the beginning")
        manifest = new_manifest("watch", use_case, [], not_recorded)
        manifest.extra["watched"] = watched.words()
        recording = Recording.begin(manifest, out, watched.words(), collectors)
        ending = heeded(_ENDING)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
        stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
        try:
            recording.start(scope, spare=collector == "auto")
        except BaseException:
            recording.discard()
            raise
        recording.opened()
        begin = time.monotonic()
        try:
            _wait(recording, scope, begin, begin + duration_s, ending, progress)
        finally:
            recording.finish(trim_s=trim_tail_s)
    return recording.capture


def _wait(
    recording: Recording,
    scope: Scope,
    begin: float,
    end: float,
    ending: set[signal.Signals],
    progress: Progress,
) -> None:
    while (left := end - time.monotonic()) > 0:
        if signal.sigtimedwait(ending, min(left, _TICK)):
            return
        recording.tick()
        progress(time.monotonic() - begin, recording.size())
        if not scope.whole_system and not recording.tree_alive():
            return


def _cgroup_of(unit: str) -> str:
    """The cgroup of a systemd unit, as systemctl tells it."""
    try:
        done = subprocess.run(
            ["systemctl", "show", "--property=ControlGroup", "--value", "--", unit],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise RecordError("there is no systemctl: this host does not run systemd") from None
    group = done.stdout.strip()
    if done.returncode or not group:
        why = done.stderr.strip() or "it is not running"
        raise RecordError(f"cannot watch the unit {unit}: {why}")
    return group


def _cgroup_folder(name: str) -> Path:
    """A cgroup by its path, or by its name below where cgroups are mounted."""
    candidates = [Path(name), *(Path(root) / name.lstrip("/") for root in _CGROUP_ROOTS)]
    for path in candidates:
        if (path / "cgroup.procs").exists():
            return path
    raise RecordError(f"there is no cgroup {name}", hint=f"looked below {_CGROUP_ROOTS[0]}")
