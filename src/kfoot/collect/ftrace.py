"""Collector ``ftrace``: all trace events of the workload's tasks, as raw ring buffer pages.

An instance of its own under tracefs, limited to the workload's tasks by ``set_event_pid`` with
``options/event-fork`` (children are followed) or open to the whole system. Nothing is turned into
text while recording: one thread a CPU moves sub-buffers from ``trace_pipe_raw`` to a file.

Layout of ``raw/ftrace/`` (reader ``ftrace-pages``). Once the capture is closed each file may carry
``.zst`` behind its name; a file that is empty or that the kernel does not offer is left out.

``info.json``
    ``{"clock": "mono", "page_bytes": 4096, "endian": "little", "long_bytes": 8, "cpus": [0, 1],
    "scope": "tasks" | "system", "roots": [PID], "gate": PID | null, "all_events": true}``.
    ``page_bytes`` is the size of one sub-buffer, header included. ``gate`` is the task that was
    stopped for kfoot and then executed the command: what it did before entering that ``execve`` is
    kfoot's. ``all_events`` is false when some event could not be enabled.
``cpuN.pages``
    The sub-buffers of CPU N in order, ``page_bytes`` each, as ``trace_pipe_raw`` gave them (the
    last one of a CPU is padded with zeros behind its ``commit``). The file's size is a multiple
    of ``page_bytes`` unless kfoot was killed while it wrote.
``header_page.txt``, ``header_event.txt``
    ``events/header_page`` and ``events/header_event``.
``formats.txt``
    Of every enabled event a line ``# SYSTEM/NAME``, then its ``format`` file unchanged (so the
    next line is ``name: NAME``), then an empty line.
``printk_formats.txt``, ``saved_cmdlines.txt``, ``saved_tgids.txt``
    The files of these names at the top of tracefs, read when the recording ended. The kernel
    keeps only some hundred task names: prefer those in ``sched_process_exec``,
    ``task:task_newtask``, ``task:task_rename`` and ``sched_switch``.
``tasks.txt``
    Tasks that were there when the recording began and that it follows (all, for the whole
    system): ``TID<tab>TGID<tab>PPID<tab>COMM`` a line; control characters and backslashes in
    COMM are written ``\\xNN``.
``stats.txt``
    A line ``# cpuN``, then ``per_cpu/cpuN/stats`` as it stood after the last read.

Records are in the clock ``mono`` (CLOCK_MONOTONIC, nanoseconds). The common fields are as in
every format file: ``common_pid`` is the thread, ``common_flags`` and ``common_preempt_count`` tell
interrupt context.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from kfoot.collect import tracefs
from kfoot.collect.base import Ability, Recorded, Scope
from kfoot.collect.drain import NO_ROOM, Drain
from kfoot.collect.watchdog import Watchdog
from kfoot.errors import RecordError
from kfoot.readers.reading import Loss

FOLDER = "ftrace"
CLOCK = "mono"
_MEBIBYTE = 1024
"""In KiB, the unit of buffer_size_kb."""
_BUFFER_KIB = 16 * _MEBIBYTE
"""Per CPU, for a task tree; 8 to 16 MiB lost nothing in any measured run."""
_SYSTEM_BUFFER_KIB = 128 * _MEBIBYTE
"""Per CPU, for a whole system, whose own load keeps the draining threads waiting."""
_SHARE_OF_MEMORY = 10
"""At most one part in so many of the memory that is available goes to the buffers."""


class Ftrace:
    """See the module's text. ``watchdog`` removes the instance should kfoot be killed."""

    name = "ftrace"
    format = "ftrace-pages"

    def __init__(self, watchdog: Watchdog | None = None, *, buffer_kib: int | None = None):
        self._watchdog = watchdog
        self._buffer_kib = buffer_kib
        self._instance: tracefs.Instance | None = None
        self._drains: list[Drain] = []
        self._folder = Path()
        self._options: dict[str, object] = {}
        self._losses: list[Loss] = []

    def probe(self) -> Ability:
        if os.geteuid() != 0:
            return Ability(False, "only root may use tracefs", "sudo kfoot ...")
        if not tracefs.in_initial_pid_namespace():
            return Ability(False, "in a container's process namespace its tasks cannot be named")
        root = tracefs.mounted()
        if root is None:
            if not tracefs.USUAL.is_dir():
                return Ability(False, "this kernel has no tracefs (CONFIG_TRACING)")
            return Ability(False, "tracefs is not mounted", tracefs.MOUNT)
        if not os.access(root / "instances", os.W_OK):
            return Ability(False, f"{root}/instances cannot be written")
        if not (root / "events" / "raw_syscalls").is_dir():
            return Ability(
                True,
                version=os.uname().release,
                notes=("no raw_syscalls events (CONFIG_HAVE_SYSCALL_TRACEPOINTS)",),
                lacks=("system calls: no raw_syscalls events (CONFIG_HAVE_SYSCALL_TRACEPOINTS)",),
            )
        return Ability(True, version=os.uname().release)

    def wrap(self, argv: Sequence[str], raw: Path) -> list[str]:
        return list(argv)

    def start(self, scope: Scope, raw: Path) -> None:
        root = tracefs.mounted()
        if root is None:
            raise RecordError("tracefs is not mounted", hint="`kfoot doctor --fix` mounts it")
        tracefs.remove_stale(root)
        self._folder = raw / FOLDER
        self._folder.mkdir(exist_ok=True)
        instance = self._instance = tracefs.Instance(root)
        if self._watchdog:
            self._watchdog.guard_instance(instance.path)
        size = self._buffer_kib or buffer_kib(len(instance.cpus()), scope.whole_system)
        instance.write("buffer_size_kb", size)
        instance.write("trace_clock", CLOCK)
        roots = list(_cgroup_tasks(scope.cgroup)) if scope.cgroup else _threads(scope.pids)
        _optional(instance, "options/record-tgid", 1)
        if scope.whole_system:
            self._leave_out_kfoot(instance)
        else:
            # All of a list in one write: the second of two would replace the first.
            instance.write("options/event-fork", 1)
            instance.write("set_event_pid", " ".join(map(str, roots)))
        # A few events may refuse; the others are enabled all the same, and counted below.
        with contextlib.suppress(RecordError):
            instance.write("events/enable", 1)
        enabled = instance.read("set_event").split()
        if not enabled:
            raise RecordError("no trace event could be enabled")
        offered = len((root / "available_events").read_text().split())
        self._options = {
            "clock": CLOCK,
            "buffer_kib_per_cpu": size,
            "scope": "system" if scope.whole_system else "tasks",
            "events_enabled": len(enabled),
            "events_refused": offered - len(enabled),
        }
        self._write_descriptions(enabled, scope, roots)
        for cpu in instance.cpus():
            self._drains.append(Drain(instance.path, cpu, self._folder, _page_bytes(instance)))
        instance.write("tracing_on", 1)
        for drain in self._drains:
            drain.start()

    def tree_alive(self) -> bool:
        """Whether any of the tasks followed still runs: with event-fork the kernel adds each
        child to ``set_event_pid`` and takes it away when it is gone."""
        if self._instance is None or self._options.get("scope") == "system":
            return False
        return any(_runs(pid) for pid in self._instance.read("set_event_pid").split())

    def stop(self) -> Recorded:
        recorded = Recorded(self.name, os.uname().release, self._options, self.format)
        instance = self._instance
        if instance is None:
            return recorded
        try:
            instance.write("tracing_on", 0)
            for drain in self._drains:
                self._losses += drain.finish()
            self._write_statistics(instance)
            for name in ("printk_formats", "saved_cmdlines", "saved_tgids"):
                self._keep(f"{name}.txt", _read(instance.root / name))
        finally:
            self._instance = None
            instance.remove()
        recorded.files = sorted(path for path in self._folder.iterdir() if path.stat().st_size)
        recorded.losses = self._losses
        return recorded

    def _leave_out_kfoot(self, instance: tracefs.Instance) -> None:
        """kfoot's own writing would be recorded, which it would write, and so on."""
        _optional(instance, "options/event-fork", 1)
        own = " ".join(os.listdir("/proc/self/task"))
        _optional(instance, "set_event_notrace_pid", own)

    def _write_descriptions(self, enabled: list[str], scope: Scope, roots: list[int]) -> None:
        assert self._instance is not None
        events = self._instance.root / "events"
        info = {
            "clock": CLOCK,
            "page_bytes": _page_bytes(self._instance),
            "endian": sys.byteorder,
            "long_bytes": _long_bytes(),
            "cpus": self._instance.cpus(),
            "scope": self._options["scope"],
            "roots": list(scope.pids),
            "gate": scope.gate,
            "all_events": self._options["events_refused"] == 0,
        }
        self._keep("info.json", json.dumps(info, sort_keys=True).encode() + b"\n")
        self._keep("header_page.txt", _read(events / "header_page"))
        self._keep("header_event.txt", _read(events / "header_event"))
        formats = []
        for event in enabled:
            name = event.replace(":", "/")
            formats.append(f"# {name}\n".encode() + _read(events / name / "format") + b"\n")
        self._keep("formats.txt", b"".join(formats))
        self._keep("tasks.txt", _tasks(None if scope.whole_system else roots))

    def _write_statistics(self, instance: tracefs.Instance) -> None:
        texts, read = [], 0
        for cpu in instance.cpus():
            text = instance.read(f"per_cpu/cpu{cpu}/stats")
            texts.append(f"# cpu{cpu}\n{text}")
            read += sum(map(int, re.findall(r"^read events: (\d+)", text, re.MULTILINE)))
            for kind, count in losses_in(text).items():
                self._losses.append(Loss(kind, f"{FOLDER}/cpu{cpu}", count))
        self._keep("stats.txt", "".join(texts).encode())
        if not read:
            self._losses.append(Loss("detached", f"{FOLDER}: not a single event came", None))

    def _keep(self, name: str, data: bytes) -> None:
        if not data:
            return
        file = self._folder / name
        try:
            file.write_bytes(data)
        except OSError as error:
            file.unlink(missing_ok=True)
            if error.errno not in NO_ROOM:
                raise RecordError(f"cannot write {name}: {error.strerror}") from error
            self._losses.append(Loss("disk_full", f"{FOLDER}/{name}", None))


def losses_in(stats: str) -> dict[str, int]:
    """The losses a ``per_cpu/cpuN/stats`` file tells of, without zeros."""
    kinds = {"overrun": "overrun", "commit overrun": "overrun", "dropped events": "dropped"}
    lost: dict[str, int] = {}
    for line in stats.splitlines():
        name, _, value = line.partition(":")
        if name in kinds and int(value):
            lost[kinds[name]] = lost.get(kinds[name], 0) + int(value)
    return lost


def _page_bytes(instance: tracefs.Instance) -> int:
    """Bytes of a sub-buffer, header included, from events/header_page."""
    text = (instance.root / "events" / "header_page").read_text()
    match = re.search(r"char data;\s*offset:(\d+);\s*size:(\d+);", text)
    if match:
        return int(match[1]) + int(match[2])
    return mmap.PAGESIZE


def _long_bytes() -> int:
    """Size of the kernel's long: a 32-bit kfoot may run on a 64-bit kernel."""
    return 8 if os.uname().machine.endswith(("64", "64le", "s390x")) else 4


def memory_available_kib() -> int:
    """MemAvailable of /proc/meminfo."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1])
    return 0


def buffer_kib(cpus: int, whole_system: bool = False) -> int:
    """Ring buffer of each CPU in KiB: enough, and no more than a fair part of free memory."""
    wanted = _SYSTEM_BUFFER_KIB if whole_system else _BUFFER_KIB
    fair = memory_available_kib() // _SHARE_OF_MEMORY // max(cpus, 1)
    return max(_MEBIBYTE, min(wanted, fair))


def _optional(instance: tracefs.Instance, name: str, value: object) -> None:
    """Write where the kernel has the file (older ones lack some)."""
    if (instance.path / name).exists():
        instance.write(name, value)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _threads(pids: Sequence[int]) -> list[int]:
    """The threads of these processes: a filter names tasks, not processes."""
    return [int(tid) for pid in pids for tid in os.listdir(f"/proc/{pid}/task")]


def _cgroup_tasks(cgroup: Path) -> Iterator[int]:
    """Threads in a cgroup and those below it."""
    for folder, _, names in os.walk(cgroup):
        name = next((n for n in ("cgroup.threads", "tasks") if n in names), None)
        if name:
            with contextlib.suppress(OSError):
                yield from map(int, (Path(folder) / name).read_text().split())


def _runs(tid: str) -> bool:
    """Whether a task is there and no zombie (which its parent may leave for ever)."""
    try:
        stat = Path(f"/proc/{tid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def _tasks(only: list[int] | None) -> bytes:
    """tasks.txt: thread, process, parent and name of the tasks that are there."""
    lines = []
    chosen = None if only is None else set(only)
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            tids = sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
            for tid in tids:
                if chosen is None or tid in chosen:
                    lines.append(_task_line(pid, tid))
        except OSError:
            continue  # it has ended since the listing
    return "".join(lines).encode()


def _task_line(pid: int, tid: int) -> str:
    stat = Path(f"/proc/{pid}/task/{tid}/stat").read_bytes()
    head, _, tail = stat.rpartition(b")")
    comm = head.partition(b"(")[2].decode("utf-8", "surrogateescape")
    comm = re.sub(r"[\x00-\x1f\x7f\\\udc80-\udcff]", lambda m: f"\\x{ord(m[0]) & 0xFF:02x}", comm)
    return f"{tid}\t{pid}\t{int(tail.split()[1])}\t{comm}\n"
