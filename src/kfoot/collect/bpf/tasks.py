"""Tasks that run already: their children, and the cgroup they are in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from kfoot.errors import RecordError


def descendants(pids: Iterable[int]) -> set[int]:
    """All living children of ``pids``, their children, and so on (proc(5), stat field 4)."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_bytes()
            except OSError:
                continue
            parent = int(stat.rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def cgroup_place(path: Path) -> tuple[int, int]:
    """Id and depth of a cgroup of the unified hierarchy. Raises RecordError for another folder."""
    path = path.resolve()
    for mount in _unified():
        if path == mount or mount in path.parents:
            return path.stat().st_ino, len(path.relative_to(mount).parts)
    raise RecordError(f"{path} is no cgroup of the unified hierarchy (cgroup2)")


def _unified() -> list[Path]:
    lines = Path("/proc/self/mounts").read_text("utf-8", "surrogateescape").splitlines()
    return [Path(fields[1]) for line in lines if (fields := line.split(" "))[2] == "cgroup2"]
