"""Threads that no signal reaches: those are for whoever supervises the workload."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable


def start(work: Callable[[], None], name: str, *, daemon: bool = False) -> threading.Thread:
    """A running thread with all signals blocked from its first moment."""
    thread = threading.Thread(target=work, name=name, daemon=daemon)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return thread


class Beside:
    """``work`` done in a thread; ``wait`` for its end raises what it raised."""

    def __init__(self, work: Callable[[], None], name: str):
        self._work = work
        self._error: BaseException | None = None
        self._thread = start(self._run, name)

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._error = error

    def wait(self) -> None:
        self._thread.join()
        if self._error is not None:
            raise self._error
