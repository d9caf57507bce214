"""What a test needs of the machine: present, or the test fails on CI and skips elsewhere.

``KFOOT_REQUIRE`` is a comma-separated list of needs that must be there (``.ci/run`` sets it).
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

TRACING = Path("/sys/kernel/tracing")


def _program(*names: str) -> Callable[[], str | None]:
    return lambda: next((f"{n} is not installed" for n in names if not shutil.which(n)), None)


def _root() -> str | None:
    return None if os.geteuid() == 0 else "not root"


def _tracefs() -> str | None:
    if _root():
        return _root()
    return None if (TRACING / "available_events").exists() else "tracefs is not mounted"


def _bpf() -> str | None:
    if _root():
        return _root()
    return None if Path("/sys/kernel/btf/vmlinux").exists() else "the kernel has no BTF"


def atlas_source() -> Path | None:
    """The newest kernel source of Debian's linux-source packages."""
    found = sorted(Path("/usr/src").glob("linux-source-*.tar.xz"), key=_by_version)
    return found[-1] if found else None


def _by_version(path: Path) -> list[int]:
    return [int(word) for word in re.findall(r"\d+", path.name)]


def _source() -> str | None:
    return None if atlas_source() else "no /usr/src/linux-source-*.tar.xz"


def _headers() -> str | None:
    here = Path("/usr/include/asm-generic/unistd.h").exists()
    return None if here else "no kernel headers (linux-libc-dev)"


def _native() -> str | None:
    from kfoot.readers.native import native, native_status

    return None if native() is not None else native_status()


@cache
def _narrow() -> str | None:
    """What Debian's gcc-multilib is for."""
    command = ["gcc", "-m32", "-static", "-x", "c", "-", "-o", "/dev/null"]
    try:
        done = subprocess.run(command, input=b"int main(void){return 0;}", capture_output=True)
    except FileNotFoundError:
        return "gcc is not installed"
    return "gcc builds no 32-bit programs" if done.returncode else None


_NEEDS: dict[str, Callable[[], str | None]] = {
    "root": _root,
    "native": _native,
    "tracefs": _tracefs,
    "bpf": _bpf,
    "strace": _program("strace"),
    "clang": _program("clang"),
    "gcc": _program("gcc"),
    "gcc-32-bit": _narrow,
    "dot": _program("dot"),
    "browser": _program("chromium"),
    "pdftotext": _program("pdftotext"),
    "guest": _program("qemu-system-x86_64"),
    "guest-arm64": _program("qemu-system-aarch64"),
    "headers": _headers,
    "node": _program("node"),
    "trace-cmd": _program("trace-cmd"),
    "perf": _program("perf"),
    "perl": _program("perl"),
    "atlas-source": _source,
}


class Turn:
    """One test of all on this machine at a time turns all trace events on: where two recordings
    overlap, the kernel waits for RCU at each of 1,600 tracepoints when the first one ends (20 s).
    """

    _folder: int | None = None

    def take(self) -> None:
        """Wait for the turn; given back when the test is over (see conftest.py)."""
        instances = TRACING / "instances"
        if self._folder is None and os.access(instances, os.R_OK):
            self._folder = os.open(instances, os.O_RDONLY)
            fcntl.flock(self._folder, fcntl.LOCK_EX)

    def give_back(self) -> None:
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None


TURN = Turn()


def needs(*names: str) -> None:
    """Skip the test, or fail it where KFOOT_REQUIRE insists, unless all of ``names`` are here."""
    required = {name for name in os.environ.get("KFOOT_REQUIRE", "").split(",") if name}
    for name in names:
        why = _NEEDS[name]() if name in _NEEDS else f"nobody knows how to look for {name}"
        if why and name in required:
            pytest.fail(f"KFOOT_REQUIRE insists on {name}: {why}")
        if why:
            pytest.skip(f"needs {name}: {why}")
    if {"tracefs", "bpf"} & set(names):
        TURN.take()
