"""What a caller wants of collector ``bpf``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be recorded, and within which bounds."""

    events: bool = True
    """Count all trace events."""
    sequence: bool = False
    """A record for every call, with its arguments."""
    first: int = 3
    """Otherwise: occurrences of a combination that give a record."""
    may_count: bool = True
    """Make do with counting where full detail is not to be had."""
    slots: int = 65536
    """Combinations counted in the kernel; what comes later gives a record a call."""
    tasks: int = 16384
    """Tasks followed at a time; those there is no room for are a loss."""
    ring: int | None = None
    """Bytes of the ring buffer, a power of two; None: 16 MiB, 64 MiB with ``sequence``."""
    interval: float = 0.1
    """Longest time in seconds a record waits to be written (or heard)."""

    @property
    def ring_bytes(self) -> int:
        return self.ring or (64 << 20 if self.sequence else 16 << 20)
