"""A small process that tidies up if kfoot is killed with SIGKILL.

It holds one end of a pipe. kfoot tells it what would be left behind (a tracefs instance, a tracer,
a workload stopped at the gate); when the pipe closes without a good-bye, it removes them and
leaves.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from kfoot.collect.apart import step_aside

_PATIENCE = 10.0
"""Seconds during which the kernel may still hold an instance open for a dying process."""


class Watchdog:
    """Started on first use; ``close`` sends it home."""

    def __init__(self) -> None:
        self._pid = 0
        self._pipe = -1

    def guard_instance(self, path: os.PathLike[str]) -> None:
        """Remove this tracefs instance should kfoot die."""
        self._tell(f"instance {os.fspath(path)}")

    def guard_process(self, pid: int, number: signal.Signals) -> None:
        """Send this process a signal should kfoot die."""
        self._tell(f"process {pid} {int(number)}")

    def forget_process(self, pid: int) -> None:
        """It has ended, or its work has begun: let it be, its number may soon be another's."""
        self._tell(f"forget {pid}")

    def close(self) -> None:
        """All is tidy: nothing to do any more."""
        if self._pid:
            self._tell("good-bye")
            os.close(self._pipe)
            os.waitpid(self._pid, 0)
            self._pid = 0

    def _tell(self, line: str) -> None:
        if not self._pid:
            self._start()
        with contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, line.encode("utf-8", "surrogateescape") + b"\n")

    def _start(self) -> None:
        reader, self._pipe = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _watch(reader)
            finally:
                os._exit(0)
        os.close(reader)


def _watch(pipe: int) -> None:
    step_aside({pipe})
    told = b""
    while piece := os.read(pipe, 4096):
        told += piece
    lines = told.decode("utf-8", "surrogateescape").splitlines()
    if "good-bye" in lines:
        return
    guarded: dict[int, int] = {}
    instances = []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "process":
            pid, number = map(int, rest.split())
            guarded[pid] = number
        elif word == "forget":
            guarded.pop(int(rest), None)
        elif word == "instance":
            instances.append(rest)
    for pid, number in guarded.items():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    for path in instances:
        _remove(path)


def _remove(path: str) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.05)
