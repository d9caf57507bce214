"""What src/records.h and src/maps.h lay out, for the side that configures and reads the maps."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from enum import IntEnum

from kfoot.collect.bpf.roles import table

FORMAT = 1
_CONFIG = struct.Struct("<Q6I8s")
SCOPE = struct.Struct("<QIIIiQQII")
"""struct scope: cgroup id and depth, adopt, next image, tasks alive; what the kernel fills in."""
COMBINATION = struct.Struct("<IIIIHH")
"""struct combination: slot, image, shape, nr, error, abi."""
SHAPE_HEAD = 8
"""Bytes of struct shape before its own combination."""
NONE = 0xFFFFFFFF
"""A slot of what is not counted."""
COUNT = struct.Struct("<QQ")
"""struct count: calls, latency."""
EVENT_COUNT = struct.Struct("<4Q")
"""struct event_count: task, softirq, hardirq, nmi."""
TASK = struct.Struct("<4I")
"""struct task: follow, image, and what the kernel fills in."""

RECORDS_MAGIC = b"kfootbpf" + struct.pack("<II", FORMAT, 0)
COUNTS_MAGIC = b"kfootcnt" + struct.pack("<II", FORMAT, 0)
ROW = struct.Struct("<IIIHHQQ")
"""One row of the file ``counts``: image, shape, nr, error, ABI, calls, nanoseconds."""

MARK = struct.pack("<I", 0x5CA1AB1E)
"""Stands in the templates where an event's number goes (src/templates.h)."""
INTERRUPT_HARD = 1 << 29
INTERRUPT_EXIT = 1 << 30


class Adopt(IntEnum):
    """Which tasks met without a mark are followed (enum adopt)."""

    NONE = 0
    PIDS = 1
    CGROUP = 2
    ALL = 3
    OVER = 4
    """The recording has ended: events are counted no more."""


class Follow(IntEnum):
    """What a marked task is (enum follow)."""

    NOT = 0
    FOLLOW = 1
    GATE = 2


class Stat(IntEnum):
    """Indexes into the counters (enum stat)."""

    RECORDS = 0
    DROPPED = 1
    STEPS_DROPPED = 2
    FULL = 3
    UNREADABLE = 4
    BEFORE = 5
    LOST_TASK = 6
    CUT = 7
    FOLDED = 8


MACHINES: dict[str, tuple[str, tuple[str | None, str | None, str | None]]] = {
    "x86_64": ("x86_64", ("x86_64", "i386", "x32")),
    "aarch64": ("arm64", ("arm64", "arm", None)),
}
"""Machine of uname(2) -> the object's architecture, the ABIs by the programs' number of them."""


@dataclass(frozen=True, slots=True)
class Config:
    """struct config."""

    first: int = 3
    """Occurrences of a combination that give a record each."""
    sequence: bool = False
    named: int = 256
    """Combinations a task may have that tell single files apart."""
    slots: int = 65536
    """Combinations in all; the maps' size."""
    wake: int = 1 << 21
    """Bytes from one processor that wake the reader."""
    processors: int = 1
    """That there can be."""

    def pack(self, abis: tuple[str | None, ...]) -> bytes:
        """The bytes of .rodata for a kernel with these ABIs."""
        head = _CONFIG.pack(
            int.from_bytes(os.urandom(8), "little"),
            self.first,
            self.sequence,
            self.named,
            self.slots,
            self.wake,
            self.processors,
            b"%ps",
        )
        return head + b"".join(table(abi) for abi in (*abis, None))
