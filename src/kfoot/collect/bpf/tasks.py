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


def running(pids: Iterable[int]) -> bool:
    """Whether one of ``pids`` still runs (a zombie does not)."""
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            continue
        if stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X"):
            return True
    return False


def cgroup_place(path: Path) -> tuple[int, int] | None:
    """Id and depth of a cgroup of the unified hierarchy; None for one of another."""
    path = path.resolve()
    for mount in _unified():
        if path == mount or mount in path.parents:
            return path.stat().st_ino, len(path.relative_to(mount).parts)
    return None


def cgroup_members(path: Path) -> list[int]:
    """The processes in a cgroup and those below it. Raises RecordError when it is none."""
    found: list[int] = []
    for folder, _, files in os.walk(path):
        if "cgroup.procs" in files:
            found += map(int, Path(folder, "cgroup.procs").read_text().split())
    if not (path / "cgroup.procs").exists():
        raise RecordError(f"{path} is no cgroup")
    return found


def _unified() -> list[Path]:
    lines = Path("/proc/self/mounts").read_text("utf-8", "surrogateescape").splitlines()
    return [Path(fields[1]) for line in lines if (fields := line.split(" "))[2] == "cgroup2"]
