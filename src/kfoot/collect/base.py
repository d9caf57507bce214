"""The protocol of a collector: what it can do here, and how it is started and stopped.

A collector writes raw files and reports losses; it never interprets what it recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from kfoot.readers.reading import Loss


@dataclass(frozen=True, slots=True)
class Ability:
    """What ``probe`` found out, without changing anything."""

    can: bool
    why_not: str | None = None
    mend: str | None = None
    """The command that would mend it."""
    version: str | None = None
    notes: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    """What it records elsewhere and cannot record here, and why: part of ``not_recorded``."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What to observe: the tree of a command or process, a cgroup, or the whole system."""

    pids: tuple[int, ...] = ()
    """Already running tasks to follow with all their children; empty with whole_system."""
    gate: int | None = None
    """The one of them that waits for kfoot and then executes the command: what it did before its
    execve is kfoot's."""
    cgroup: Path | None = None
    whole_system: bool = False


@dataclass(slots=True)
class Recorded:
    """What a stopped collector leaves behind."""

    name: str
    version: str | None
    options: dict[str, object] = field(default_factory=dict)
    format: str = ""
    """Name of the reader of its files."""
    files: list[Path] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)


@runtime_checkable
class Follower(Protocol):
    """A collector that knows whether tasks it follows are left (daemons outlive the command)."""

    def tree_alive(self) -> bool:
        """False when all have ended, and when it cannot tell."""


class Collector(Protocol):
    """One way of observing."""

    name: str
    format: str
    """Name of the reader of its files."""

    def probe(self) -> Ability:
        """Whether it works on this host, by trying, never by version."""

    def wrap(self, argv: Sequence[str], raw: Path) -> list[str]:
        """The command line that runs ``argv`` under this collector (most return it unchanged)."""

    def start(self, scope: Scope, raw: Path) -> None:
        """Begin recording into the folder ``raw``. The workload has not run an instruction yet:
        it waits for kfoot to let it go. Raises RecordError."""

    def stop(self) -> Recorded:
        """End recording, leave nothing behind in the kernel, also after a failed start."""
