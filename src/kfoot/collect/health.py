"""What this host can record and what stands in the way. Looks only; ``mend`` changes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kfoot.collect import tracefs
from kfoot.collect.base import Ability
from kfoot.collect.choice import COLLECTORS, GIVES
from kfoot.collect.ftrace import buffer_kib, memory_available_kib
from kfoot.collect.watchdog import Watchdog
from kfoot.errors import KfootError

_BTF = Path("/sys/kernel/btf/vmlinux")
_LIBBPF = "libbpf.so.1"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    name: str
    ok: bool
    what: str
    mend: str | None = None
    """The command that mends it, where there is one."""


def look() -> list[Finding]:
    """Everything, in the order a person wants to read it."""
    return [
        *_collectors(),
        _root(),
        *_tracing(),
        _bpf(),
        _perf(),
        _memory(),
        _modules(),
        _config(),
    ]


def can_record(findings: list[Finding]) -> bool:
    """Whether any collector works."""
    return any(finding.ok for finding in findings if finding.name in COLLECTORS)


def mend() -> list[str]:
    """Mount tracefs where it is not, remove what a killed kfoot left there. Says what was done.

    Raises KfootError when tracefs cannot be mounted.
    """
    done = []
    if os.geteuid() != 0:
        raise KfootError("only root can mend this host", hint="sudo kfoot doctor --fix")
    if tracefs.mounted() is None:
        tracefs.mount()
        done.append(f"mounted tracefs at {tracefs.USUAL}")
    root = tracefs.mounted()
    if root is not None:
        done += [
            f"removed the stale tracing instance {name}" for name in tracefs.remove_stale(root)
        ]
    return done


def _collectors() -> Iterator[Finding]:
    for name, make in COLLECTORS.items():
        ability = make(Watchdog()).probe()
        yield Finding(name, ability.can, _words(name, ability), ability.mend)


def _words(name: str, ability: Ability) -> str:
    if not ability.can:
        return ability.why_not or "does not work here"
    version = f"{ability.version}: " if ability.version else ""
    return "; ".join([f"{version}{GIVES.get(name, 'works')}", *ability.notes])


def _root() -> Finding:
    if os.geteuid() == 0:
        return Finding("root", True, "kfoot runs as root")
    return Finding(
        "root", False, "kfoot does not run as root: no trace events, no bpf", "sudo kfoot ..."
    )


def _tracing() -> Iterator[Finding]:
    root = tracefs.mounted()
    if root is None:
        yield Finding("tracefs", False, "is not mounted", tracefs.MOUNT)
        return
    if not os.access(root, os.R_OK | os.X_OK):
        yield Finding("tracefs", False, f"only root may look into {root}", "sudo kfoot ...")
        return
    yield Finding("tracefs", True, f"mounted at {root}")
    stale = [path.name for path in tracefs.stale(root)]
    if stale:
        what = f"left by a killed kfoot: {', '.join(stale)}"
        yield Finding("instances", False, what, "sudo kfoot doctor --fix")
    yield _events(root)
    tracers = _text(root / "available_tracers").split()
    for tracer in ("function", "function_graph"):
        has = tracer in tracers
        no = f"not in this kernel (CONFIG_{tracer.upper()}_TRACER)"
        yield Finding(f"{tracer} tracer", has, "there" if has else no)
    has = (root / "kprobe_events").exists()
    yield Finding("kprobes", has, "there" if has else "not in this kernel (CONFIG_KPROBE_EVENTS)")


def _events(root: Path) -> Finding:
    lines = _text(root / "available_events").split()
    systems = {line.partition(":")[0] for line in lines}
    if not lines:
        return Finding("events", False, "this kernel has no trace events (CONFIG_EVENT_TRACING)")
    what = f"{len(lines)} trace events of {len(systems)} systems"
    if "raw_syscalls" not in systems:
        what += ", none for system calls (CONFIG_FTRACE_SYSCALLS)"
    return Finding("events", True, what)


def _bpf() -> Finding:
    name = "bpf needs"
    if not _BTF.exists():
        return Finding(name, False, "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)")
    try:
        ctypes.CDLL(_LIBBPF)
    except OSError:
        return Finding(name, False, f"{_LIBBPF} is not installed", "sudo apt-get install libbpf1")
    return Finding(name, True, f"kernel BTF and {_LIBBPF} are there")


def _perf() -> Finding:
    program = shutil.which("perf")
    if program is None:
        return Finding("perf", False, "is not installed", "sudo apt-get install linux-perf")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    if done.returncode:
        return Finding("perf", False, "does not run: none for this kernel")
    paranoid = _text(Path("/proc/sys/kernel/perf_event_paranoid")).strip() or "unknown"
    version = done.stdout.strip().removeprefix("perf version ")
    return Finding("perf", True, f"{version}, kernel.perf_event_paranoid is {paranoid}")


def _memory() -> Finding:
    cpus = os.cpu_count() or 1
    kib = buffer_kib(cpus)
    free = memory_available_kib() // 1024
    what = f"{free} MiB available: {kib // 1024} MiB of trace buffer for each of {cpus} CPUs"
    return Finding("memory", kib >= 4096, what)


def _modules() -> Finding:
    if Path("/proc/modules").exists():
        return Finding("modules", True, "use counts in /proc/modules")
    return Finding("modules", False, "this kernel has none (no /proc/modules)")


def _config() -> Finding:
    release = os.uname().release
    for path in (Path("/proc/config.gz"), Path(f"/boot/config-{release}")):
        if path.exists():
            return Finding("kernel config", True, str(path))
    return Finding("kernel config", False, f"neither /proc/config.gz nor /boot/config-{release}")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
