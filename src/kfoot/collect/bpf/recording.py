"""One recording in full detail: programs loaded, attached, read out and unloaded."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from pathlib import Path
from typing import BinaryIO

from kfoot.collect.base import Scope
from kfoot.collect.bpf import libbpf, meta
from kfoot.collect.bpf.events import SWITCH, Counters, available
from kfoot.collect.bpf.layout import (
    COMBINATION,
    COUNT,
    COUNTS_MAGIC,
    MACHINES,
    NONE,
    RECORDS_MAGIC,
    ROW,
    SCOPE,
    SHAPE_HEAD,
    TASK,
    Adopt,
    Config,
    Follow,
    Stat,
)
from kfoot.collect.bpf.libbpf import BpfError
from kfoot.collect.bpf.probe import BTF, object_file
from kfoot.collect.bpf.ring import Heard, Ring
from kfoot.collect.bpf.tasks import cgroup_members, cgroup_place, descendants, running
from kfoot.collect.bpf.wishes import Wishes
from kfoot.readers.reading import Loss

_PROGRAMS = ("on_newtask", "on_exec", "on_task_exit", "on_exit", "on_enter")
"""In the order they are attached: tasks first, so that no call is seen of a task not yet known."""
_EVERY = 0xFFFFFFFF


class Detail:
    """Loaded on construction: it stands then that the kernel takes the programs. ``close`` leaves
    nothing in the kernel.

    Raises BpfError and OSError.
    """

    detail = "full"

    def __init__(self, wishes: Wishes, heard: Heard | None = None):
        self.losses: list[Loss] = []
        self.folder: Path | None = None
        """Set once recording has begun."""
        self._wishes = wishes
        self._heard = heard
        self._arch, self._abis = MACHINES[os.uname().machine]
        self._library = libbpf.Library()
        self.version = f"libbpf {self._library.version}"
        self._events = available() if wishes.events else []
        self._config = Config(
            first=_EVERY if wishes.sequence else wishes.first,
            sequence=wishes.sequence,
            slots=wishes.slots,
            wake=wishes.ring_bytes // 8 // self._library.cpus,
            processors=self._library.cpus,
        )
        self._opened: list[libbpf.Object] = []
        self._counters: Counters | None = None
        self._sink: BinaryIO | None = None
        self._ring: Ring | None = None
        self._asleep: list[int] = []
        self._meta: meta.Meta = {}
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    def _load(self) -> None:
        templates = self._open("events")
        templates.resize("events", max(1, len(self._events)))
        templates.load()
        self._counters = Counters(
            self._library, templates, self._events, depth=self._arch == "x86_64"
        )
        casts = b"\0bpf_rdonly_cast\0" in BTF.read_bytes()
        try:
            self._load_programs("detail" if casts else "detail_plain", templates)
        except BpfError as error:
            if casts or error.number != libbpf.ENOTSUPP:
                raise
            self._opened.pop().close()
            self._load_programs("detail_older", templates)

    def _open(self, program: str) -> libbpf.Object:
        self._opened.append(libbpf.Object(self._library, object_file(program, self._arch)))
        return self._opened[-1]

    def _load_programs(self, program: str, templates: libbpf.Object) -> None:
        self._object = loaded = self._open(program)
        config = self._config
        for name in ("tasks", "processors", ".data"):
            loaded.share(name, templates)
        loaded.set(".rodata", config.pack(self._abis))
        for name, entries in (
            ("shapes", config.slots),
            ("combinations", config.slots),
            ("counts", config.slots * self._library.cpus),
            ("ring", self._wishes.ring_bytes),
            ("states", self._wishes.tasks),
            ("given_back", self._wishes.tasks),
        ):
            loaded.resize(name, entries)
        loaded.load()

    def start(self, scope: Scope, folder: Path) -> None:
        """Mark the scope's tasks, attach everything, record into ``folder``."""
        wishes, library, loaded = self._wishes, self._library, self._object
        assert self._counters is not None
        gate = [scope.gate] if scope.gate is not None else []
        adopt, cgroup, level, pids = _adoption(scope)
        self._asleep = pids or (cgroup_members(scope.cgroup) if scope.cgroup else [])
        self._mark(os.getpid(), 0, Follow.NOT)
        if self._counters.pid is not None:
            self._mark(self._counters.pid, 0, Follow.NOT)
        for image, pid in enumerate(gate, start=1):
            self._mark(pid, image, Follow.GATE)
        if adopt is Adopt.PIDS:
            for pid in {*pids, *descendants(pids)} - set(gate):
                libbpf.update(library, loaded.map("adopted"), struct.pack("<I", pid), bytes(4))
        begin = SCOPE.pack(cgroup, level, adopt, 1 + len(gate), len(gate), 0, 0, 0, 0)
        libbpf.update(library, loaded.map(".data"), bytes(4), begin)
        self._sink = (folder / "records").open("wb", buffering=0)
        self._sink.write(RECORDS_MAGIC)
        for name in _PROGRAMS:
            loaded.attach(name)
        self._ring = Ring(
            loaded.map("ring"), wishes.ring_bytes, self._sink, wishes.interval, self._heard
        )
        self._ring.start()
        attached = self._counters.attach()
        if self._events and (SWITCH not in self._events or SWITCH in self._counters.refused):
            raise BpfError("the kernel does not tell of task switches", errno.ENOENT)
        self.folder = folder
        self._meta = meta.begun(
            folder,
            self._counters,
            attached,
            detail=self.detail,
            adopt=adopt.name.lower(),
            marked=[[pid, image] for image, pid in enumerate(gate, start=1)],
            gate=scope.gate,
            first=self._config.first,
            sequence=wishes.sequence,
        )

    def alive(self) -> bool:
        """Whether tasks to follow are left: known ones, or such as have not made a call yet."""
        if running(self._asleep):
            return True
        return self._scope()[4] > 0

    def finish(self) -> dict[str, object]:
        """Detach, read all out, write the files; gives the options for the manifest."""
        assert self._ring is not None
        assert self._counters is not None
        assert self.folder is not None
        missed = sum(libbpf.misses(self._library, self._object.program(name)) for name in _PROGRAMS)
        self._object.detach()
        self._stop_counting()
        self._ring.stop()
        if self._ring.failure is not None:
            why = self._ring.failure.strerror
            self.losses.append(Loss("disk_full", f"bpf/records: {why}", None))
        fd = self._object.map("stats")
        stats = {stat.name.lower(): libbpf.total(self._library, fd, stat) for stat in Stat}
        self.losses += meta.stopped(self._meta, self._counters)
        late = sorted(set(available()) - set(self._events)) if self._wishes.events else []
        self._meta |= {
            "missed": missed,
            "stats": stats,
            "events_late": [":".join(event) for event in late],
            "combinations": self._write_counts(),
        }
        meta.finished(self.folder, self._meta)
        said = ("detail", "events", "first", "sequence", "interrupts_uncounted")
        return {name: self._meta[name] for name in said}

    def close(self) -> None:
        if self._counters is not None:
            self._counters.close()
        for opened in reversed(self._opened):
            opened.close()
        if self._ring is not None:
            self._ring.stop()
        if self._sink is not None:
            self._sink.close()

    def _scope(self) -> list[int]:
        value = libbpf.look_up(self._library, self._object.map(".data"), bytes(4), SCOPE.size)
        return list(SCOPE.unpack(value or bytes(SCOPE.size)))

    def _stop_counting(self) -> None:
        """With the programs detached, followed tasks go on, and their events would be counted."""
        scope = self._scope()
        scope[2] = Adopt.OVER
        libbpf.update(self._library, self._object.map(".data"), bytes(4), SCOPE.pack(*scope))

    def _write_counts(self) -> int:
        """Write ``counts``; gives the number of rows."""
        assert self.folder is not None
        library, cpus = self._library, self._library.cpus
        known: dict[int, tuple[int, ...]] = {}
        for name, head in (("shapes", SHAPE_HEAD), ("combinations", 0)):
            size = head + COMBINATION.size
            for _, values, n in libbpf.batches(library, self._object.map(name), 8, size):
                for at in range(head, n * size, size):
                    slot, *rest = COMBINATION.unpack_from(values, at)
                    if slot != NONE:
                        known[slot] = tuple(rest)
        slots = self._config.slots
        total = (slots * cpus * COUNT.size + mmap.PAGESIZE - 1) & -mmap.PAGESIZE
        with (
            mmap.mmap(self._object.map("counts"), total, prot=mmap.PROT_READ) as counts,
            (self.folder / "counts").open("wb") as file,
        ):
            file.write(COUNTS_MAGIC)
            for slot, key in sorted(known.items()):
                rows = [
                    COUNT.unpack_from(counts, (cpu * slots + slot) * COUNT.size)
                    for cpu in range(cpus)
                ]
                calls, ns = map(sum, zip(*rows, strict=True))
                file.write(ROW.pack(*key, calls, ns))
        return len(known)

    def _mark(self, pid: int, image: int, follow: Follow) -> None:
        """Say what a process (of one thread, unless it is not followed) is."""
        fd = os.pidfd_open(pid)
        try:
            value = TASK.pack(follow, image, 0, 0)
            libbpf.update(self._library, self._object.map("tasks"), struct.pack("<i", fd), value)
        finally:
            os.close(fd)


def _adoption(scope: Scope) -> tuple[Adopt, int, int, list[int]]:
    """How tasks without a mark come to be followed: the way, a cgroup's id and depth, pids."""
    if scope.whole_system:
        return Adopt.ALL, 0, 0, []
    if scope.cgroup is not None:
        place = cgroup_place(scope.cgroup)
        if place is None:
            # Of an older hierarchy: those in it now, and their children.
            return Adopt.PIDS, 0, 0, cgroup_members(scope.cgroup)
        return Adopt.CGROUP, *place, []
    pids = [pid for pid in scope.pids if pid != scope.gate]
    return (Adopt.PIDS if pids else Adopt.NONE), 0, 0, pids
