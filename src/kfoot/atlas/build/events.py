"""Trace events: their header, their fields, and the file whose area they belong to.

A system is not one area (``sched`` holds workqueue and exec events), so the area is taken from
where the event is fired: see ``_Areas``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kfoot.atlas.build import eventmacros
from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.build.syscalls import Syscalls
from kfoot.atlas.schema import Row

_CALL = re.compile(rb"\btrace_(\w+?)(?:_rcuidle)?(?:_enabled)?\s*\(")
_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]+([<"])([^>"\n]+)[>"]', re.M)
_TOPS = (
    *("arch/", "block/", "crypto/", "drivers/", "fs/", "include/", "init/", "io_uring/", "ipc/"),
    *("kernel/", "lib/", "mm/", "net/", "security/", "sound/", "virt/"),
)
_ENTRIES = "kernel/trace/trace_entries.h"
_BY_HAND = {
    # Fired by every architecture's entry code; the system call itself has its own area.
    "raw_syscalls": "kernel/entry/common.c",
    # Fired from each architecture's inter-processor interrupt code.
    "ipi": "kernel/smp.c",
}


class Facts(NamedTuple):
    header: eventmacros.HeaderEvents | None
    calls: tuple[str, ...]
    """Events the file fires."""
    creates: tuple[str, ...]
    """Headers included after CREATE_TRACE_POINTS, as paths to try."""


class Events(Builder):
    """Table ``events``."""

    name = "events"
    needs = ("areas", "maintainers", "syscalls")

    def __init__(self) -> None:
        self._headers: dict[str, eventmacros.HeaderEvents] = {}
        self._callers: dict[str, set[str]] = {}
        self._created: dict[str, set[str]] = {}

    def wants(self, path: str) -> bool:
        return path.startswith(_TOPS) and path.endswith((".c", ".h"))

    def scan(self, path: str, data: bytes) -> Facts | None:
        header = None
        if b"TRACE_SYSTEM" in data and b"EVENT" in data:
            header = eventmacros.read(data)
        elif path == _ENTRIES:
            entries = eventmacros.ftrace_entries(data)
            header = eventmacros.HeaderEvents(
                tuple(
                    eventmacros.FoundEvent("ftrace", name, None, fields) for name, fields in entries
                ),
                (),
            )
        calls: tuple[str, ...] = ()
        if b"trace_" in data:
            calls = tuple(sorted({name.decode() for name in _CALL.findall(data)}))
        creates: tuple[str, ...] = ()
        at = data.find(b"CREATE_TRACE_POINTS")
        if at >= 0 and re.search(rb"define[ \t]+CREATE_TRACE_POINTS", data):
            names = _INCLUDE.findall(data, at)
            creates = tuple(
                sorted({way for _, name in names for way in _ways(path, name.decode())})
            )
        facts = Facts(header, calls, creates)
        return facts if any(facts) else None

    def take(self, path: str, facts: Facts) -> None:
        if facts.header:
            self._headers[path] = facts.header
        for name in facts.calls:
            self._callers.setdefault(name, set()).add(path)
        for header in facts.creates:
            self._created.setdefault(header, set()).add(path)

    def finish(self, context: Context) -> Mapping[str, Iterable[Row]]:
        areas = _Areas(self, context)
        classes = {
            (path, one.name): one.fields
            for path, header in self._headers.items()
            for one in header.classes
        }
        anywhere = {name: fields for (_, name), fields in sorted(classes.items(), reverse=True)}
        rows: list[Row] = []
        for path, header in sorted(self._headers.items()):
            for event in header.events:
                fields = event.fields
                if event.of is not None:
                    fields = classes.get((path, event.of), anywhere.get(event.of, ()))
                by, how = areas.file(event.system, event.name, path)
                area = context.area_of(by)
                # Most headers lie in include/trace, which says TRACING of all of them.
                section = context.section_of(by)
                rows.append((event.system, event.name, fields, by, path, section, area, how))
        rows += self._syscall_events(context)
        return {"events": rows}

    def callers(self, name: str) -> set[str]:
        """Files that fire an event."""
        return self._callers.get(name, set())

    def creators(self, header: str) -> set[str]:
        """Files that make a header's tracepoints."""
        return self._created.get(header, set())

    def headers(self) -> Mapping[str, eventmacros.HeaderEvents]:
        return self._headers

    def _syscall_events(self, context: Context) -> list[Row]:
        """syscalls:sys_enter_X and sys_exit_X, which SYSCALL_DEFINE makes of the entry's name."""
        syscalls = context.built.get("syscalls")
        found: dict[tuple[str, str], str] = {}
        if isinstance(syscalls, Syscalls):
            for row in syscalls.rows(context.architectures):
                entry = row.entry or ""
                if row.file and entry.startswith("sys_") and row.how.startswith("syscall-define"):
                    found[entry.removeprefix("sys_"), row.file] = row.area_file or row.file
        rows: list[Row] = []
        for (name, file), by in sorted(found.items()):
            place = (context.section_of(by), context.area_of(by), "event-of-syscall")
            for side in ("sys_enter", "sys_exit"):
                rows.append(("syscalls", f"{side}_{name}", (), by, file, *place))
        return rows


class _Areas:
    """The file that decides an event's area, best rule first: its header where that lies beside
    the code; the file that fires it; the file that creates it; what most of its system says."""

    def __init__(self, events: Events, context: Context):
        self._events = events
        self._context = context
        self._majority: dict[str, tuple[str, str]] = {}
        votes: dict[str, Counter[str]] = {}
        example: dict[tuple[str, str], str] = {}
        for path, header in sorted(events.headers().items()):
            for event in header.events:
                file, _ = self._direct(event.system, event.name, path)
                area = context.area_of(file) if file else None
                if file and area:
                    votes.setdefault(event.system, Counter())[area] += 1
                    example.setdefault((event.system, area), file)
        for system, counter in votes.items():
            area = min(counter, key=lambda one: (-counter[one], one))
            self._majority[system] = (example[system, area], "event-system")

    def file(self, system: str, name: str, header: str) -> tuple[str, str]:
        """The deciding file and the rule."""
        file, how = self._direct(system, name, header)
        if file and (self._context.area_of(file) or system not in self._majority):
            return file, how
        return self._majority.get(system, (header, "event-header"))

    def _direct(self, system: str, name: str, header: str) -> tuple[str | None, str]:
        if system in _BY_HAND:
            return _BY_HAND[system], "event-by-hand"
        if "include" not in header.split("/")[:-1]:
            return header, "event-own-folder"
        callers = self._events.callers(name) - {header}
        code = {path for path in callers if path.endswith(".c")}
        generic = sorted(path for path in code if not path.startswith("arch/")) or sorted(code)
        created = sorted(self._events.creators(header))
        # kernel/trace/ creates points for others to fire; elsewhere the creator owns the event.
        owner = next((path for path in created if not path.startswith("kernel/trace/")), None)
        best, clear = self._most(generic)
        if owner and (not clear or header.startswith("arch/") or _foreign(generic, owner)):
            return owner, "event-created-by"
        if best:
            return best, "event-call-site"
        if created or callers:
            return min(created or callers), "event-created-by" if created else "event-call-site"
        return None, ""

    def _most(self, paths: list[str]) -> tuple[str | None, bool]:
        """A file of the area most of them are in, the first of equals; whether it has no equal."""
        areas = Counter(self._context.area_of(path) for path in paths)
        if not areas:
            return None, False
        best = max(areas.values())
        file = next(path for path in paths if areas[self._context.area_of(path)] == best)
        return file, list(areas.values()).count(best) == 1


def _foreign(callers: list[str], owner: str) -> bool:
    """Whether only drivers fire what is no driver's (devlink's events)."""
    return not owner.startswith("drivers/") and all(path.startswith("drivers/") for path in callers)


def _ways(path: str, name: str) -> list[str]:
    """Where an included header may lie."""
    folder = path.rsplit("/", 1)[0]
    parts = [*folder.split("/"), *name.split("/")]
    near: list[str] = []
    for part in parts:
        if part == "..":
            if near:
                near.pop()
        elif part != ".":
            near.append(part)
    top = "/".join(path.split("/")[:2])
    return ["/".join(near), f"include/{name}", f"{top}/include/{name}", f"{top}/{name}"]
