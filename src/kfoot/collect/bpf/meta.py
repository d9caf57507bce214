"""``meta.json`` of a bpf recording: how it was made, its trace events, and what it may miss.

Written as soon as recording has begun, so that a recording that is cut off is known for one.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from kfoot.collect.bpf.events import Counters
from kfoot.collect.bpf.layout import FORMAT, MACHINES
from kfoot.collect.bpf.libbpf import BpfError
from kfoot.readers.reading import Loss

Meta = dict[str, Any]


def begun(folder: Path, counters: Counters, attached: int, **more: object) -> Meta:
    """What is known once all is attached, written into ``folder``; ``more`` is of the detail."""
    machine = os.uname().machine
    meta: Meta = {
        "format": "kfoot-bpf",
        "version": FORMAT,
        "machine": machine,
        "release": os.uname().release,
        "abis": list(MACHINES[machine][1]),
        "ns": time.clock_gettime_ns(time.CLOCK_MONOTONIC),
        "events": attached,
        "events_refused": [":".join(event) for event in counters.refused],
        "finished": False,
        **more,
    }
    _write(folder, meta)
    return meta


def stopped(meta: Meta, counters: Counters) -> list[Loss]:
    """Put in the counts of trace events and stop counting them; gives what was lost by that."""
    meta["until_ns"] = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    meta["event_counts"] = [
        [*event, *counts] for event, counts in sorted(counters.counts().items())
    ]
    meta["interrupts_uncounted"] = None
    try:
        meta["interrupts_uncounted"] = counters.stop()
    except BpfError as error:
        return [Loss("detached", f"bpf: trace events: {error}", None)]
    return []


def finished(folder: Path, meta: Meta) -> None:
    """All files are whole."""
    meta["finished"] = True
    _write(folder, meta)


def _write(folder: Path, meta: Meta) -> None:
    (folder / "meta.json").write_text(json.dumps(meta, indent=0) + "\n")
