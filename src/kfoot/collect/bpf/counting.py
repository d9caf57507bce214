"""One recording that only counts: calls by process, number and result, and trace events.

The lower rung, for kernels without BTF. Needs raw tracepoints (4.17), libbpf, tracefs' format of
sched_process_fork, and the initial pid namespace (without BTF the kernel's own numbers are all
there is).
"""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

from kfoot.collect import tracefs
from kfoot.collect.base import Scope
from kfoot.collect.bpf import libbpf, meta
from kfoot.collect.bpf.events import Counters, available, tracefs_file
from kfoot.collect.bpf.layout import (
    COUNT,
    COUNTS_MAGIC,
    MACHINES,
    NONE,
    RECORDS_MAGIC,
    ROW,
    Stat,
)
from kfoot.collect.bpf.probe import object_file
from kfoot.collect.bpf.tasks import cgroup_members, descendants
from kfoot.collect.bpf.wishes import Wishes
from kfoot.readers.reading import Loss

_PROGRAMS = ("on_fork", "on_exec", "on_task_exit", "on_exit", "on_enter")
_PROCESS = struct.Struct("<I16s")
_KEY = struct.Struct("<IIHH")
_SETTINGS = struct.Struct("<II")


class Counting:
    """As ``Detail``, with less to tell. Raises BpfError and OSError."""

    detail = "counting"

    def __init__(self, wishes: Wishes):
        if not tracefs.in_initial_pid_namespace():
            raise OSError("counting without BTF works in the initial pid namespace only")
        self.losses: list[Loss] = []
        self.folder: Path | None = None
        arch, _ = MACHINES[os.uname().machine]
        self._library = libbpf.Library()
        self.version = f"libbpf {self._library.version}"
        self._events = available() if wishes.events else []
        self._object = libbpf.Object(self._library, object_file("count", arch))
        self._counters: Counters | None = None
        self._loaded = False
        self._meta: meta.Meta = {}
        self._child = _child_offset()

    def start(self, scope: Scope, folder: Path) -> None:
        """Load for this scope, attach everything."""
        library, loaded = self._library, self._object
        loaded.set(".rodata", _SETTINGS.pack(self._child, scope.whole_system))
        loaded.resize("events", max(1, len(self._events)))
        loaded.load()
        self._loaded = True
        roots = list(scope.pids) or (cgroup_members(scope.cgroup) if scope.cgroup else [])
        if scope.gate is None:
            roots += descendants(roots)
        for pid in roots:
            value = _PROCESS.pack(0, b"")
            libbpf.update(library, loaded.map("processes"), struct.pack("<I", pid), value)
        (folder / "records").write_bytes(RECORDS_MAGIC)
        self._counters = Counters(library, loaded, self._events, depth=True)
        for name in _PROGRAMS:
            loaded.attach(name)
        attached = self._counters.attach()
        self.folder = folder
        self._meta = meta.begun(
            folder,
            self._counters,
            attached,
            detail=self.detail,
            marked=[],
            gate=scope.gate,
            first=0,
            sequence=False,
        )

    def alive(self) -> bool:
        """Whether followed processes are left."""
        return self._loaded and any(not ended for ended, _ in self._processes().values())

    def finish(self) -> dict[str, object]:
        """Detach, read all out, write the files; gives the options for the manifest."""
        assert self._counters is not None
        assert self.folder is not None
        self._object.detach()
        self.losses += meta.stopped(self._meta, self._counters)
        lost, full = (self._stat(stat) for stat in (Stat.LOST_TASK, Stat.FULL))
        self._meta["stats"] = {"lost_task": lost}
        if full:
            self.losses.append(Loss("dropped", "bpf: calls the table had no room for", full))
        self._meta["marked"] = [[pid, pid] for pid in sorted(self._write_counts())]
        comms = {str(pid): comm for pid, (_, comm) in self._processes().items()}
        self._meta["comms"] = comms
        meta.finished(self.folder, self._meta)
        return {"detail": self.detail, "events": self._meta["events"]}

    def close(self) -> None:
        if self._counters is not None:
            self._counters.close()
        self._object.close()

    def _processes(self) -> dict[int, tuple[int, str]]:
        """By pid: whether it has ended, and its name."""
        found = {}
        fd = self._object.map("processes")
        for keys, values, n in libbpf.batches(self._library, fd, 4, _PROCESS.size):
            rows = _PROCESS.iter_unpack(values[: n * _PROCESS.size])
            for (pid,), (ended, comm) in zip(struct.iter_unpack("<I", keys), rows, strict=True):
                found[pid] = (ended, comm.partition(b"\0")[0].decode("utf-8", "replace"))
        return found

    def _write_counts(self) -> set[int]:
        """Write ``counts``, a process' image being its pid; gives the pids."""
        assert self.folder is not None
        cpus = self._library.cpus
        size = COUNT.size * cpus
        pids = set()
        with (self.folder / "counts").open("wb") as file:
            file.write(COUNTS_MAGIC)
            for keys, values, n in libbpf.batches(
                self._library, self._object.map("counts"), _KEY.size, size
            ):
                for i in range(n):
                    pid, nr, error, abi = _KEY.unpack_from(keys, i * _KEY.size)
                    numbers = struct.unpack_from(f"<{2 * cpus}Q", values, i * size)
                    calls, ns = sum(numbers[::2]), sum(numbers[1::2])
                    file.write(ROW.pack(pid, NONE, nr, error, abi, calls, ns))
                    pids.add(pid)
        return pids

    def _stat(self, stat: Stat) -> int:
        return libbpf.total(self._library, self._object.map("stats"), stat)


def _child_offset() -> int:
    """Where sched_process_fork's record has child_pid (it moved when names became dynamic)."""
    text = tracefs_file("events/sched/sched_process_fork/format")
    found = re.search(r"pid_t child_pid;\s*offset:(\d+);", text)
    if found is None:
        raise OSError("sched_process_fork has no child_pid")
    return int(found[1])
