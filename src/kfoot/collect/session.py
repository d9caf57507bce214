"""Puts a recording together: workload, collectors, system state, losses -> a closed capture.

The order of a run: resolve the command, ask the collectors what they can do, make the folder,
fork the workload at its gate, start the collectors and snapshot, open the gate, wait, stop the
collectors, snapshot, close. Whatever happens in between, the collectors are stopped and what was
recorded is kept.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kfoot.capture import Capture
from kfoot.collect.base import Scope
from kfoot.collect.choice import COLLECTORS, Make, choose
from kfoot.collect.recording import Recording, new_manifest
from kfoot.collect.supervise import Program, Workload, resolve
from kfoot.collect.watchdog import Watchdog
from kfoot.readers.reading import Loss

Say = Callable[[str], None]


def record(
    argv: Sequence[str],
    *,
    use_case: str | None = None,
    out: Path | None = None,
    collector: str = "auto",
    env: Mapping[str, str] | None = None,
    say: Say = lambda text: None,
    makers: Mapping[str, Make] = COLLECTORS,
    meanwhile: Callable[[], None] = lambda: None,
) -> Capture:
    """Run a command and record it. Returns the closed capture; its manifest has the exit status.

    ``makers`` make the collectors by name (a caller that wants one with other options gives its
    own); ``say`` gets lines for the user while it runs; ``meanwhile`` is called in another thread
    while the collectors start, which can take some tenths of a second.

    Raises KfootError with status 126 or 127 when the command cannot be run or found (no capture is
    left then), RecordError when kfoot fails.
    """
    program = resolve(argv[0], env)
    with ExitStack() as stack:
        watchdog = Watchdog()
        stack.callback(watchdog.close)
        collectors, not_recorded = choose(collector, watchdog, makers=makers)
        manifest = new_manifest("run", use_case, argv, not_recorded)
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
            scope = Scope(pids=(workload.pid,), gate=workload.pid)
            recording.start(scope, spare=collector == "auto", meanwhile=meanwhile)
            recording.opened()
            workload.release()
            watchdog.forget_process(workload.pid)
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


def _program(program: Program) -> dict[str, Any]:
    return {"path": program.path, "real": program.real, "interpreter": program.interpreter}
