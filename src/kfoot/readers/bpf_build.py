"""Builds a reading from the records of the ``bpf`` collector.

A *shape* is what was called, on what, with which result; a shape in a process image is a
combination. Records describe shapes and name the combinations of the first occurrences.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import NamedTuple

from kfoot.readers import bpf_records as raw
from kfoot.readers.bpf_objects import object_of, sockaddr, socket_object
from kfoot.readers.bpf_records import Call, Flag, Kind
from kfoot.readers.errnos import errno_name
from kfoot.readers.reading import CallCount, CallKey, Object, Process, Reading, Request, Step

_NUMBERS = {
    "ioctl": {"x86_64": 16, "x32": 514, "i386": 54, "arm64": 29, "arm": 54},
    "socket": {"x86_64": 41, "x32": 41, "i386": 359, "arm64": 198, "arm": 281},
}
"""Calls whose scalar arguments are part of the reading, by ABI."""


class Shape(NamedTuple):
    """A combination but for its process."""

    abi: str | None
    nr: int
    outcome: str
    object: int | None = None
    object2: int | None = None
    request: Request | None = None


class Occurrence(NamedTuple):
    """One call in the order."""

    ns: int
    tid: int
    image: int
    shape: int | Shape


@dataclass(slots=True)
class Build:
    """A reading in the making. Feed it records, then counts, then ``steps``."""

    reading: Reading
    abis: list[str | None]
    machine: str | None
    max_steps: int
    images: dict[int, int] = field(default_factory=dict)
    """Serial number of a process image to its index."""
    shapes: dict[int, Shape] = field(default_factory=dict)
    loose: dict[tuple[int, int | Shape], tuple[int, int]] = field(default_factory=dict)
    """Calls and nanoseconds of combinations the kernel had no room to count."""
    unknown: int = 0
    """Combinations whose description was lost."""
    _objects: dict[Object, int] = field(default_factory=dict)
    _named: dict[int, Object] = field(default_factory=dict)
    """By the kernel's identity of it: what a record without a name acted on."""
    _executed: dict[int, str] = field(default_factory=dict)
    """Image that called execve to the path it gave."""
    _order: list[Occurrence] = field(default_factory=list)
    _late: list[Call] = field(default_factory=list)
    """Descriptions, until all names are known."""

    def take(self, record: Call | raw.Step) -> None:
        """One record of the stream."""
        if isinstance(record, raw.Step):
            self._occurred(record, record.image, record.shape)
            if record.flags & Flag.LOOSE:
                self._loose(record.image, record.shape, record.latency)
            return
        self._process(record)
        self._remember(record)
        if record.kind != Kind.CALL:
            return
        self._image(record.image, record.pid)
        if record.shape == raw.NONE:
            # Described call by call: without bound, so settled at once.
            shape = self._settle(record)
            self._occurred(record, record.image, shape)
            self._loose(record.image, shape, record.latency)
            return
        self._late.append(record)
        self._occurred(record, record.image, record.shape)
        if record.flags & Flag.LOOSE:
            self._loose(record.image, record.shape, record.latency)

    def describe(self) -> None:
        """All records are taken: settle what each shape is."""
        for call in self._late:
            self.shapes[call.shape] = self._settle(call)
        self._late.clear()

    def count(
        self, image: int, shape: int | Shape, calls: int, ns: int, row: raw.Row | None
    ) -> None:
        """Add calls to a combination; ``row`` tells what is known should its description be
        lost."""
        process = self._image(image, 0)
        found = self.shapes.get(shape) if isinstance(shape, int) else shape
        if found is None:
            if row is None:
                return
            self.unknown += 1
            found = Shape(self._abi(row.abi), row.nr, self._outcome(row.error))
        if self.reading.processes[process].abi is None:
            self.reading.processes[process].abi = found.abi
        key = CallKey(
            process, found.abi, found.nr, None, found.outcome, found.object, found.object2,
            found.request,
        )  # fmt: skip
        total = self.reading.calls.setdefault(key, CallCount())
        total.calls += calls
        total.time_ns = (total.time_ns or 0) + ns

    def count_occurrences(self) -> None:
        """Without counts: what was recorded is what is known."""
        for occurrence in self._order:
            self.count(occurrence.image, occurrence.shape, 1, 0, None)

    def steps(self) -> None:
        """The recorded occurrences in order of time, neighbours folded."""
        reading = self.reading
        taken = 0
        for _, tid, image, what in sorted(self._order, key=lambda entry: entry.ns):
            shape = self.shapes.get(what) if isinstance(what, int) else what
            if shape is None:
                continue
            taken += 1
            step = Step(
                self._image(image, 0), tid, None, shape.nr, shape.abi, shape.object,
                shape.request, shape.outcome, 1,
            )  # fmt: skip
            last = reading.steps[-1] if reading.steps else None
            if last is not None and last._replace(times=1) == step:
                reading.steps[-1] = last._replace(times=last.times + 1)
            else:
                reading.steps.append(step)
        reading.steps_cut = sum(count.calls for count in reading.calls.values()) - taken

    def began(self, image: int, process: Process) -> None:
        """A process image that was there when recording began."""
        self.images[image] = len(self.reading.processes)
        self.reading.processes.append(process)

    def _occurred(self, record: Call | raw.Step, image: int, shape: int | Shape) -> None:
        if len(self._order) < self.max_steps:
            self._order.append(Occurrence(record.ns, record.tid, image, shape))

    def _loose(self, image: int, shape: int | Shape, ns: int) -> None:
        calls, total = self.loose.get((image, shape), (0, 0))
        self.loose[image, shape] = (calls + 1, total + ns)

    def _process(self, record: Call) -> None:
        """What a record says of processes."""
        processes = self.reading.processes
        if record.kind == Kind.FORK and record.spare != record.image:
            parent = self.images.get(record.image)
            self.began(record.spare, Process(record.other2, parent, comm=record.comm))
        elif record.kind == Kind.EXEC:
            argv = record.path2.decode("utf-8", "surrogateescape").split("\0")
            process = Process(
                record.pid,
                self.images.get(record.other),
                exe=record.name or record.path,
                argv=tuple(argv[:-1]),
                comm=record.comm,
            )
            self.began(record.image, process)
            self._executed[record.other] = _from(record.path, record.cwd) or ""
        elif record.kind == Kind.ADOPT and record.image not in self.images:
            self.began(record.image, Process(record.pid, exe=record.name, comm=record.comm))
        elif record.kind == Kind.EXIT and record.tid == record.pid:
            at = self.images.get(record.image)
            if at is None:
                return
            processes[at].comm = processes[at].comm or record.comm
            if record.other & 0x7F:
                processes[at].signal = _signal_name(record.other & 0x7F)
            else:
                processes[at].exit_status = record.other >> 8 & 0xFF

    def _remember(self, record: Call) -> None:
        """Keep what was seen behind an identity; a later sight may know more (a peer)."""
        for seen, name, address in (
            (record.object, record.name, record.sockaddr),
            (record.second, record.name2, b""),
        ):
            if seen.present:
                found = object_of(seen, name, address if seen.family == 1 else b"", False)
                if found.name or seen.id not in self._named:
                    self._named[seen.id] = found

    def _settle(self, call: Call) -> Shape:
        abi = self._abi(call.abi)
        first, second = self._acted_on(call, abi)
        request = None
        if call.nr == _NUMBERS["ioctl"].get(abi or ""):
            request = Request(call.args[1] & 0xFFFFFFFF, None)
        error = raw.NEVER if call.flags & Flag.NEVER else call.error
        return Shape(
            abi, call.nr, self._outcome(error), self._index(first), self._index(second), request
        )

    def _abi(self, number: int) -> str | None:
        return self.abis[number] if number < len(self.abis) else None

    def _image(self, image: int, pid: int) -> int:
        """Index of a process image; one whose beginning was not recorded gets a bare process."""
        if image not in self.images:
            self.began(image, Process(pid))
        return self.images[image]

    def _outcome(self, error: int) -> str:
        if error == raw.NEVER:
            return "never"
        return errno_name(error, self.machine) if error else "ok"

    def _index(self, found: Object | None) -> int | None:
        if found is None:
            return None
        if found not in self._objects:
            self._objects[found] = len(self.reading.objects)
            self.reading.objects.append(found)
        return self._objects[found]

    def _acted_on(self, call: Call, abi: str | None) -> tuple[Object | None, Object | None]:
        flags = call.flags
        second: Object | None = None
        if call.path2:
            path2 = call.path2.rstrip(b"\0").decode("utf-8", "surrogateescape")
            start = self._start(call.second, call.name2, call.cwd, flags & Flag.AT2)
            second = Object("path", _from(path2, start) or "", how="argument")
        elif call.second.id or call.second.present:
            second = self.seen(call.second, call.name2, b"", flags)
        if flags & Flag.EXECUTED:
            return Object("path", self._executed.get(call.image, ""), how="argument"), second
        if flags & Flag.RESULT:
            return self.seen(call.object, call.name, call.sockaddr, 0), second
        if call.path:
            start = self._start(call.object, call.name, call.cwd, flags & Flag.AT)
            return Object("path", _from(call.path, start) or "", how="argument"), second
        if call.object.id or call.object.present:
            found = self.seen(call.object, call.name, call.sockaddr, flags)
            if call.sockaddr and found.kind == "socket" and (to := sockaddr(call.sockaddr)):
                found = found._replace(name=to)
            return found, second
        if call.nr == _NUMBERS["socket"].get(abi or ""):
            return socket_object(call.args[0], call.args[1], call.args[2]), second
        return None, second

    def seen(self, seen: raw.Seen, name: str | None, address: bytes, flags: int) -> Object:
        """What a descriptor in a record stands for."""
        folded = bool(flags & Flag.FOLDED)
        if not seen.present:
            known = self._named.get(seen.id, Object("unknown", ""))
            return known._replace(name="") if folded else known
        return object_of(seen, name, address if seen.family == 1 else b"", folded)

    def _start(self, seen: raw.Seen, name: str | None, cwd: str | None, at: int) -> str | None:
        """The directory a relative path starts at: a descriptor's (``at``), or the working one."""
        if not at or not seen.id:
            return cwd
        return name or self._named.get(seen.id, Object("unknown", "")).name


def _from(path: str | None, start: str | None) -> str | None:
    """A path argument, put behind the directory it starts at."""
    if path is None or path.startswith("/") or not start or not start.startswith("/"):
        return path
    return f"{start.rstrip('/')}/{path.removeprefix('./')}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - 32}"
