"""``--sequence`` and ``--print``: collector bpf with other wishes than the usual."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from kfoot.atlas import open_atlas
from kfoot.cli.common_strace import Printer
from kfoot.collect.base import Collector
from kfoot.collect.bpf.collector import Bpf
from kfoot.collect.bpf.layout import MACHINES
from kfoot.collect.bpf.wishes import Wishes
from kfoot.collect.choice import COLLECTORS, Make
from kfoot.collect.watchdog import Watchdog
from kfoot.errors import KfootError

_LIVE_S = 0.02
"""A line is printed at most so much later than its call."""


def collector_word(word: str, options: str) -> str:
    """The collector that ``options`` ("--print") need. Raises KfootError for another one."""
    if word not in ("auto", "bpf"):
        raise KfootError(f"{options} needs collector bpf, not {word}")
    return "bpf"


def makers(*, printed: bool) -> Mapping[str, Make]:
    """The collectors, bpf recording every call in order; ``printed``: on stderr, too."""

    def make(watchdog: Watchdog) -> Collector:
        heard = None
        if printed:
            uname = os.uname()
            _, abis = MACHINES.get(uname.machine, ("", (None, None, None)))
            heard = Printer(sys.stderr, open_atlas(uname.release), abis, uname.machine).heard
        wishes = Wishes(sequence=True, interval=_LIVE_S if printed else Wishes().interval)
        return Bpf(watchdog, wishes=wishes, heard=heard)

    return {**COLLECTORS, "bpf": make}
