"""tracefs: where it is mounted, and instances of kfoot's own that never stay behind.

An instance (Documentation/trace/ftrace.rst, "Instances") has its own ring buffer and its own set
of enabled events, so nothing anybody else traces is disturbed. Its name ``kfoot-PID-START-N`` tells
whose it is: when that process is gone, the instance is stale and whoever comes next removes it.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from pathlib import Path

from kfoot.errors import KfootError, RecordError

USUAL = Path("/sys/kernel/tracing")
MOUNT = f"mount -t tracefs nodev {USUAL}"
"""The command that makes tracefs appear."""
_NAME = re.compile(r"kfoot-(\d+)-(\d+)-\d+")
_INITIAL_PID_NAMESPACE = "pid:[4026531836]"
"""PROC_PID_INIT_INO in include/linux/proc_ns.h."""


def mounted() -> Path | None:
    """Where tracefs is mounted (whether or not we may look into it), None when it is not."""
    try:
        lines = Path("/proc/self/mounts").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    found = [Path(fields[1]) for line in lines if (fields := line.split(" "))[2] == "tracefs"]
    # debugfs brings a second mount of it on first access: prefer the one that stays.
    found.sort(key=lambda path: path != USUAL)
    return next((path for path in found if _is_there(path / "available_events")), None)


def _is_there(path: Path) -> bool:
    """Also what only root may see: another file system may be mounted over an old tracefs."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def mount() -> None:
    """Mount tracefs at its usual place. Raises KfootError with the kernel's reason."""
    done = subprocess.run(MOUNT.split(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise KfootError(f"cannot mount tracefs: {done.stderr.strip()}")


def in_initial_pid_namespace() -> bool:
    """``set_event_pid`` takes the numbers of the initial namespace: elsewhere ours mean others."""
    try:
        return os.readlink("/proc/self/ns/pid") == _INITIAL_PID_NAMESPACE
    except OSError:
        return True


def started(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot (proc(5), stat field 22)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return int(stat.rpartition(b")")[2].split()[19])


def stale(root: Path) -> list[Path]:
    """Instances of kfoot processes that are no more."""
    try:
        names = sorted(os.listdir(root / "instances"))
    except OSError:
        return []
    return [
        root / "instances" / name
        for name in names
        if (match := _NAME.fullmatch(name)) and started(int(match[1])) != int(match[2])
    ]


def remove_stale(root: Path) -> list[str]:
    """Remove them; returns the names of those that went."""
    gone = []
    for path in stale(root):
        with contextlib.suppress(OSError):
            path.rmdir()
            gone.append(path.name)
    return gone


class Instance:
    """A new tracing instance, recording off until ``write("tracing_on", 1)``."""

    _made = 0

    def __init__(self, root: Path):
        Instance._made += 1
        pid = os.getpid()
        self.root = root
        self.path = root / "instances" / f"kfoot-{pid}-{started(pid)}-{Instance._made}"
        try:
            self.path.mkdir()
        except OSError as error:
            raise RecordError(f"cannot make a tracing instance: {error.strerror}") from error
        self.write("tracing_on", 0)

    def write(self, name: str, value: object, *, add: bool = False) -> None:
        """Write one of the instance's files; ``add`` keeps what a list like ``set_event_pid``
        holds already. Raises RecordError naming the file."""
        try:
            fd = os.open(self.path / name, os.O_WRONLY | (0 if add else os.O_TRUNC))
        except OSError as error:
            raise RecordError(f"cannot open {self.path / name}: {error.strerror}") from error
        try:
            os.write(fd, str(value).encode())
        except OSError as error:
            raise RecordError(f"cannot write {value!r} to {name}: {error.strerror}") from error
        finally:
            os.close(fd)

    def read(self, name: str) -> str:
        """Read one of the instance's files."""
        return (self.path / name).read_text("utf-8", "replace")

    def cpus(self) -> list[int]:
        """Numbers of the CPUs that have a buffer."""
        return sorted(int(name[3:]) for name in os.listdir(self.path / "per_cpu"))

    def remove(self) -> None:
        """Remove it; whoever still has one of its files open gets two seconds."""
        for attempt in range(100):
            try:
                self.path.rmdir()
                return
            except FileNotFoundError:
                return
            except OSError as error:
                if attempt == 99:
                    raise RecordError(
                        f"cannot remove {self.path}: {error.strerror}",
                        hint="`kfoot doctor --fix` removes it later",
                    ) from error
                time.sleep(0.02)
