"""The tables that come from system calls: syscalls, ioctls and objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from kfoot.atlas.model import NOWHERE, Atlas, Ioctl, Place
from kfoot.footprint.contract import Row
from kfoot.footprint.names import Names
from kfoot.footprint.objects import Objects, Resolved
from kfoot.footprint.tiers import Tiers
from kfoot.readers.reading import CallCount, CallKey, Reading, Request


@dataclass(slots=True)
class _Tally:
    """Counts of one row."""

    calls: int = 0
    errors: int = 0
    never: int = 0
    errnos: Counter[str] = field(default_factory=Counter)
    time_ns: int | None = None

    def add(self, outcome: str, count: CallCount) -> None:
        self.calls += count.calls
        if outcome == "never":
            self.never += count.calls
        elif outcome != "ok":
            self.errors += count.calls
            if outcome != "?":
                self.errnos[outcome] += count.calls
        if count.time_ns is not None:
            self.time_ns = (self.time_ns or 0) + count.time_ns

    @property
    def time_us(self) -> float | None:
        return None if self.time_ns is None else round(self.time_ns / 1000, 1)


def tabulate(
    readings: Iterable[Reading], names: Names, objects: Objects, tiers: Tiers
) -> dict[str, list[Row]]:
    """The rows of ``syscalls``, ``ioctls`` and ``objects``; feeds the entered and dispatched
    tiers and what stays unmapped."""
    syscalls: dict[tuple[str | None, str], tuple[_Tally, int | None, Place]] = {}
    ioctls: dict[tuple[str, str | None, int | None, str | None], tuple[_Tally, Place]] = {}
    things: dict[tuple[str, str], tuple[Resolved, Counter[str]]] = {}
    tiers.measured("entered")
    for reading in readings:
        resolved = [objects.resolve(found) for found in reading.objects]
        if resolved:
            tiers.measured("dispatched")
        for key, count in _over_processes(reading):
            call = names.syscall(key, reading)
            row = syscalls.get((call.abi, call.name))
            if row is None:
                row = syscalls[call.abi, call.name] = (_Tally(), call.nr, call.place)
            row[0].add(key.outcome, count)
            tiers.add("entered", call.place, count.calls, "syscall", call.name)
            target = resolved[key.object] if key.object is not None else None
            for index in (key.object, key.object2):
                if index is None or key.outcome == "EBADF":
                    continue
                thing = resolved[index]
                # A name that was never opened names nothing that lives in the kernel: the lookup
                # was refused before any filesystem's own object was acted on.
                if thing.kind != "path":
                    label = f"{thing.kind} {thing.name}"
                    tiers.add("dispatched", thing.place, count.calls, "object", label)
                seen = things.get((thing.kind, thing.name))
                if seen is None:
                    seen = things[thing.kind, thing.name] = (thing, Counter())
                seen[1][call.name] += count.calls
            if key.request is not None:
                named = name_request(key.request, target, names.atlas, call.abi)
                where = (
                    target.name if target else "?",
                    target.driver if target else None,
                    named.nr,
                    named.name,
                )
                ioctls.setdefault(where, (_Tally(), named.place))[0].add(key.outcome, count)
                if named.name is None:
                    tiers.miss("ioctl", hexadecimal(named.nr) or "?", count.calls)
    return {
        "syscalls": [
            {
                "abi": abi,
                "name": name,
                "nr": nr,
                "calls": tally.calls,
                "errors": tally.errors,
                "errnos": dict(sorted(tally.errnos.items())),
                "unfinished": tally.never,
                "time_us": tally.time_us,
                **_where(place),
            }
            for (abi, name), (tally, nr, place) in sorted(
                syscalls.items(), key=lambda item: (item[0][0] or "", item[0][1])
            )
        ],
        "ioctls": [
            {
                "object": thing,
                "driver": driver,
                "request": hexadecimal(nr),
                "name": name,
                "calls": tally.calls,
                "errors": tally.errors,
                "errnos": dict(sorted(tally.errnos.items())),
                **_where(place),
            }
            for (thing, driver, nr, name), (tally, place) in sorted(
                ioctls.items(), key=lambda item: tuple(str(part or "") for part in item[0])
            )
        ],
        "objects": [
            {
                "kind": kind,
                "name": name,
                "driver": thing.driver,
                "operations": dict(sorted(operations.items())),
                "how": thing.how,
                **_where(thing.place),
            }
            for (kind, name), (thing, operations) in sorted(things.items())
        ],
    }


def _over_processes(reading: Reading) -> Iterable[tuple[CallKey, CallCount]]:
    """The calls summed over processes of one ABI, each under the key of the first: a footprint
    keeps processes apart elsewhere, and there may be thousands that did the same."""
    of_abi: dict[str | None, dict[tuple[object, ...], CallCount]] = {}
    tables = [of_abi.setdefault(process.abi, {}) for process in reading.processes]
    found: list[tuple[CallKey, CallCount]] = []
    for key, count in reading.calls.items():
        table = tables[key[0]]
        same = key[1:]
        total = table.get(same)
        if total is None:
            total = table[same] = CallCount(count.calls, count.time_ns)
            found.append((key, total))
            continue
        total.calls += count.calls
        if count.time_ns is not None:
            total.time_ns = (total.time_ns or 0) + count.time_ns
    return found


@dataclass(frozen=True, slots=True)
class NamedRequest:
    name: str | None
    nr: int | None
    place: Place


def name_request(
    request: Request, target: Resolved | None, atlas: Atlas, abi: str | None
) -> NamedRequest:
    """Name and handler of an ioctl. Several drivers may share a number: the one whose handler
    lives with the object acted on is meant; strace's own text is believed otherwise."""
    text = (request.text or "").split(" or ")
    rows: tuple[Ioctl, ...] = ()
    if request.nr is not None:
        rows = atlas.ioctl(request.nr, abi=abi or "x86_64")
    for word in text:
        if word and not rows:
            rows = atlas.ioctl(word.split("(")[0], abi=abi or "x86_64")
    for row in rows:
        for handler in row.handlers:
            if target is not None and _kin(handler, target.place):
                return NamedRequest(row.name, _number(request, row), handler)
    here = target.place if target is not None else NOWHERE
    if rows:
        row = next((row for row in rows if row.name in text), rows[0])
        place = row.handlers[0] if len(row.handlers) == 1 else here
        return NamedRequest(row.name, _number(request, row), place)
    spelled = text[0].split("(")[0] if text[0] and not text[0].startswith(("_IOC(", "0x")) else None
    return NamedRequest(spelled, request.nr, here)


def _number(request: Request, row: Ioctl) -> int:
    return row.nr if request.nr is None or row.size is None else request.nr


def _kin(handler: Place, target: Place) -> bool:
    return handler.file is not None and (
        handler.file == target.file
        or (handler.section == target.section and handler.section not in (None, "THE REST"))
    )


def hexadecimal(nr: int | None) -> str | None:
    return None if nr is None else f"{nr:#010x}"


def _where(place: Place) -> Row:
    return {"file": place.file, "section": place.section, "area": place.area}
