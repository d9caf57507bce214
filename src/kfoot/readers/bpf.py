"""Reader ``bpf``: what collector ``bpf`` left in raw/bpf/ (see there) to a ``Reading``.

The counts are exact and come from the kernel's own tables; the records say what each combination
is and give the order of the first occurrences of each (of every call, with ``sequence``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kfoot.errors import InputError
from kfoot.readers import bpf_records as raw
from kfoot.readers.base import Options
from kfoot.readers.bpf_objects import object_of, sockaddr, socket_object
from kfoot.readers.bpf_records import Call, Damaged, Flag, Kind
from kfoot.readers.errnos import errno_name
from kfoot.readers.files import bare_name, head
from kfoot.readers.reading import (
    CallCount,
    CallKey,
    EventKey,
    Loss,
    Object,
    Process,
    Reading,
    Request,
    Step,
)

CONTEXTS = ("task", "softirq", "hardirq", "nmi")
_NUMBERS = {
    "ioctl": {"x86_64": 16, "x32": 514, "i386": 54, "arm64": 29, "arm": 54},
    "socket": {"x86_64": 41, "x32": 41, "i386": 359, "arm64": 198, "arm": 281},
}
"""Calls whose scalar arguments are part of the reading, by ABI."""
_URING = ("io_uring_submit_req", "io_uring_submit_sqe")
"""The event of a request taken from a ring: since 6.3, and before."""
_STATS = (
    ("dropped", "dropped", "records the ring buffer had no room for"),
    ("unreadable", "unreadable", "strings that could not be read from the workload's memory"),
    ("cut", "cut", "paths and argument lists longer than are kept"),
    ("lost_task", "escaped", "tasks that could not be followed"),
)
"""Counter, kind of loss, words."""


@dataclass(slots=True)
class _Build:
    reading: Reading
    options: Options
    abis: list[str | None]
    machine: str | None
    first: int
    objects: dict[Object, int] = field(default_factory=dict)
    images: dict[int, int] = field(default_factory=dict)
    slots: dict[int, CallKey] = field(default_factory=dict)
    named: dict[int, Object] = field(default_factory=dict)
    """By the kernel's identity of it: what a record without a name acted on."""
    executed: dict[int, str] = field(default_factory=dict)
    """Image that called execve to the path it gave."""
    order: list[tuple[int, int, int | CallKey]] = field(default_factory=list)
    """Time, thread, slot or combination."""
    late: list[Call] = field(default_factory=list)
    """First occurrences in the order recorded, until all names are known."""


class BpfReader:
    """See the module's text. The three files belong together."""

    name = "bpf"

    def sniff(self, path: Path, head: bytes) -> bool:
        return head.startswith((raw.MAGIC, raw.COUNTS_MAGIC)) or (
            head.startswith(b"{") and b'"kfoot-bpf"' in head[:4096]
        )

    def groups(self, paths: Sequence[Path]) -> list[list[Path]]:
        """One set a folder."""
        folders: dict[Path, list[Path]] = {}
        for path in paths:
            folders.setdefault(path.parent, []).append(path)
        return list(folders.values())

    def read(self, paths: Sequence[Path], options: Options) -> Reading:
        files = {bare_name(path): path for path in paths}
        for name in ("meta.json", "records"):
            if name not in files:
                raise InputError(
                    paths[0].parent, f"has no {name}", expected="meta.json and records"
                )
        meta = _meta(files["meta.json"])
        reading = Reading("bpf", ", ".join(sorted(path.name for path in paths)))
        build = _Build(
            reading, options, list(meta["abis"]), meta.get("machine"), int(meta["first"])
        )
        for pid, image in meta["marked"]:
            build.images[int(image)] = _add(reading.processes, Process(int(pid)))
        _records(build, files["records"])
        for call in build.late:
            _settle(build, call)
        if "counts" in files and meta.get("finished"):
            _counts(build, files["counts"])
        else:
            _count_records(build)
        _steps(build)
        _events(reading, meta)
        _facts(reading, meta)
        return reading


READER = BpfReader()


def _meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads(head(path, 1 << 26))
    except ValueError as error:
        raise InputError(path, str(error), expected="a JSON object") from None
    if not isinstance(meta, dict) or meta.get("format") != "kfoot-bpf":
        raise InputError(path, "is not of the bpf collector", expected='"format": "kfoot-bpf"')
    if meta.get("version") != raw.FORMAT:
        raise InputError(
            path, f"has format {meta.get('version')}", expected=f"{raw.FORMAT}",
            hint="another version of kfoot made it",
        )  # fmt: skip
    missing = [name for name in ("abis", "marked", "first") if name not in meta]
    if missing:
        raise InputError(path, f"has no {', '.join(missing)}")
    meta.setdefault("stats", {})
    return meta


def _add(items: list[Any], item: object) -> int:
    items.append(item)
    return len(items) - 1


def _records(build: _Build, path: Path) -> None:
    try:
        for record in raw.records(path, build.options.progress):
            if isinstance(record, raw.Step):
                if len(build.order) < build.options.max_steps:
                    build.order.append((record.ns, record.tid, record.slot))
                continue
            _process(build, record)
            _remember(build, record)
            if record.kind == Kind.CALL:
                build.late.append(record)
    except Damaged as error:
        if error.offset <= len(raw.MAGIC):
            raise InputError(path, str(error), where=f"offset {error.offset}") from None
        build.reading.losses.append(
            Loss("truncated", f"{path.name}: offset {error.offset}: {error}", None)
        )


def _process(build: _Build, record: Call) -> None:
    """What a record says of processes."""
    processes = build.reading.processes
    if record.kind == Kind.FORK and record.spare != record.image:
        child = Process(record.other2, build.images.get(record.image), comm=record.comm)
        build.images[record.spare] = _add(processes, child)
    elif record.kind == Kind.EXEC:
        before = build.images.get(record.other)
        argv = record.path2.decode("utf-8", "surrogateescape").split("\0")
        image = Process(
            record.pid, before, exe=record.name or record.path, argv=tuple(argv[:-1]),
            comm=record.comm,
        )  # fmt: skip
        build.images[record.image] = _add(processes, image)
        build.executed[record.other] = _from(record.path, record.cwd) or ""
    elif record.kind == Kind.ADOPT and record.image not in build.images:
        adopted = Process(record.pid, exe=record.name, comm=record.comm)
        build.images[record.image] = _add(processes, adopted)
    elif record.kind == Kind.EXIT and record.tid == record.pid:
        at = build.images.get(record.image)
        if at is not None:
            processes[at].comm = processes[at].comm or record.comm
            if record.other & 0x7F:
                processes[at].signal = _signal(record.other & 0x7F)
            else:
                processes[at].exit_status = record.other >> 8 & 0xFF


def _signal(number: int) -> str:
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - 32}"


def _remember(build: _Build, record: Call) -> None:
    """Keep what was seen behind an identity; a later sight knows more (a socket's peer)."""
    for seen, name, address in (
        (record.object, record.name, record.sockaddr),
        (record.second, record.name2, b""),
    ):
        if seen.present:
            found = object_of(seen, name, address if seen.family == 1 else b"", False)
            known = build.named.get(seen.id)
            if known is None or found.name:
                build.named[seen.id] = found


def _settle(build: _Build, call: Call) -> None:
    """A first occurrence to its combination."""
    reading = build.reading
    abi = build.abis[call.abi] if call.abi < len(build.abis) else None
    process = _image(build, call.image, call.pid)
    if reading.processes[process].abi is None:
        reading.processes[process].abi = abi
    first, second = _objects(build, call, abi)
    request = None
    if call.nr == _NUMBERS["ioctl"].get(abi or ""):
        request = Request(call.args[1] & 0xFFFFFFFF, None)
    key = CallKey(
        process,
        abi,
        call.nr,
        None,
        _outcome(build, call.error if not call.flags & Flag.NEVER else raw.NEVER),
        _index(build, first),
        _index(build, second),
        request,
    )
    if call.slot == raw.NO_SLOT:
        _count(reading, key, 1, call.latency)
    else:
        build.slots[call.slot] = key
    if len(build.order) < build.options.max_steps + len(build.late):
        build.order.append((call.ns, call.tid, key))


def _image(build: _Build, image: int, pid: int) -> int:
    """Index of a process image; one whose beginning was not recorded gets a process without."""
    if image not in build.images:
        build.images[image] = _add(build.reading.processes, Process(pid))
    return build.images[image]


def _outcome(build: _Build, error: int) -> str:
    if error == raw.NEVER:
        return "never"
    return errno_name(error, build.machine) if error else "ok"


def _index(build: _Build, found: Object | None) -> int | None:
    if found is None:
        return None
    if found not in build.objects:
        build.objects[found] = _add(build.reading.objects, found)
    return build.objects[found]


def _objects(build: _Build, call: Call, abi: str | None) -> tuple[Object | None, Object | None]:
    """What a call acted on."""
    flags = call.flags
    second: Object | None = None
    if call.path2:
        path2 = call.path2.rstrip(b"\0").decode("utf-8", "surrogateescape")
        start = _start(build, call.second, call.name2, call.cwd, flags & Flag.AT2)
        second = Object("path", _from(path2, start) or "", how="argument")
    elif call.second.id or call.second.present:
        second = _seen(build, call.second, call.name2, b"", flags)
    if flags & Flag.EXECUTED:
        path = build.executed.get(call.image, "")
        return Object("path", path, how="argument"), second
    if flags & Flag.RESULT:
        return _seen(build, call.object, call.name, call.sockaddr, 0), second
    if call.path:
        start = _start(build, call.object, call.name, call.cwd, flags & Flag.AT)
        return Object("path", _from(call.path, start) or "", how="argument"), second
    if call.object.id or call.object.present:
        found = _seen(build, call.object, call.name, call.sockaddr, flags)
        if call.sockaddr and found.kind == "socket" and (to := sockaddr(call.sockaddr)):
            found = found._replace(name=to)
        return found, second
    if call.nr == _NUMBERS["socket"].get(abi or ""):
        return socket_object(call.args[0], call.args[1], call.args[2]), second
    return None, second


def _seen(build: _Build, seen: raw.Seen, name: str | None, address: bytes, flags: int) -> Object:
    folded = bool(flags & Flag.FOLDED)
    if not seen.present:
        known = build.named.get(seen.id, Object("unknown", ""))
        return known._replace(name="") if folded else known
    return object_of(seen, name, address if seen.family == 1 else b"", folded)


def _start(build: _Build, seen: raw.Seen, name: str | None, cwd: str | None, at: int) -> str | None:
    """The directory a relative path starts at: a descriptor's (``at``), or the working one."""
    if not at or not seen.id:
        return cwd
    return name or build.named.get(seen.id, Object("unknown", "")).name


def _from(path: str | None, start: str | None) -> str | None:
    """A path argument, put behind the directory it starts at."""
    if path is None or path.startswith("/") or not start or not start.startswith("/"):
        return path
    return f"{start.rstrip('/')}/{path.removeprefix('./')}"


def _count(reading: Reading, key: CallKey, calls: int, ns: int) -> None:
    count = reading.calls.setdefault(key, CallCount())
    count.calls += calls
    count.time_ns = (count.time_ns or 0) + ns


def _counts(build: _Build, path: Path) -> None:
    unknown = 0
    try:
        for row in raw.rows(path):
            if not row.calls:
                continue
            key = build.slots.get(row.slot)
            if key is None:
                # Its record was lost: what it acted on is not known, that it happened is.
                unknown += 1
                abi = build.abis[row.abi] if row.abi < len(build.abis) else None
                process = _image(build, row.image, 0)
                key = CallKey(process, abi, row.nr, None, _outcome(build, row.error))
            _count(build.reading, key, row.calls, row.ns)
    except Damaged as error:
        build.reading.losses.append(
            Loss("truncated", f"{path.name}: offset {error.offset}: {error}", None)
        )
    if unknown:
        build.reading.losses.append(
            Loss("dropped", "combinations of calls without a description", unknown)
        )


def _count_records(build: _Build) -> None:
    """A recording that was cut off: only what was written is known."""
    for _, _, what in build.order:
        key = build.slots.get(what) if isinstance(what, int) else what
        if key is not None:
            _count(build.reading, key, 1, 0)
    build.reading.losses.append(
        Loss("truncated", "bpf: kfoot ended before the counts were read", None)
    )


def _steps(build: _Build) -> None:
    """The recorded occurrences in order of time, neighbours folded."""
    reading = build.reading
    build.order.sort(key=lambda entry: entry[0])
    taken = 0
    for _, tid, what in build.order[: build.options.max_steps]:
        key = build.slots.get(what) if isinstance(what, int) else what
        if key is None:
            continue
        taken += 1
        step = Step(
            key.process, tid, None, key.nr, key.abi, key.object, key.request, key.outcome, 1
        )
        last = reading.steps[-1] if reading.steps else None
        if last is not None and last._replace(times=1) == step:
            reading.steps[-1] = last._replace(times=last.times + 1)
        else:
            reading.steps.append(step)
    reading.steps_cut = sum(count.calls for count in reading.calls.values()) - taken


def _events(reading: Reading, meta: dict[str, Any]) -> None:
    submitted = 0
    for system, name, *counts in meta.get("event_counts", ()):
        for context, count in zip(CONTEXTS, counts, strict=True):
            if count:
                reading.events[EventKey(system, name, context, None)] = count
        if name in _URING:
            submitted += sum(counts)
    if submitted:
        reading.losses.append(
            Loss("io_uring", "requests through rings, no system calls of their own", submitted)
        )


def _facts(reading: Reading, meta: dict[str, Any]) -> None:
    facts = reading.facts
    facts.arch, facts.release = meta.get("machine"), meta.get("release")
    facts.first_s = meta["ns"] / 1e9 if "ns" in meta else None
    facts.last_s = meta["until_ns"] / 1e9 if "until_ns" in meta else None
    facts.tool = "kfoot bpf"
    for stat, kind, words in _STATS:
        if meta["stats"].get(stat):
            reading.losses.append(Loss(kind, words, meta["stats"][stat]))
    if meta.get("missed"):
        reading.losses.append(Loss("recursion", "calls inside the counting of one", meta["missed"]))
    if meta.get("sequence") and meta["stats"].get("steps_dropped"):
        reading.losses.append(
            Loss(
                "dropped", "calls counted but missing in the order", meta["stats"]["steps_dropped"]
            )
        )
    if meta.get("events_refused"):
        reading.losses.append(
            Loss("refused", ", ".join(meta["events_refused"][:5]), len(meta["events_refused"]))
        )
