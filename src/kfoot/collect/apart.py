"""What a process forked off beside kfoot does first, so that it can outlive kfoot unnoticed."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Collection

_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def step_aside(keep: Collection[int]) -> None:
    """Out of reach of the terminal, holding none of kfoot's descriptors but ``keep``: whoever
    waits for the end of kfoot's output waits for kfoot only."""
    gc.disable()
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in {0, 1, 2} - set(keep):
        os.dup2(nothing, fd)
    low = 3
    for fd in sorted(keep):
        os.closerange(low, fd)
        low = max(low, fd + 1)
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/")
    for ignored in _IGNORED:
        signal.signal(ignored, signal.SIG_IGN)
