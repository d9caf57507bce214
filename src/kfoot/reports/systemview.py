"""The system view: which boxes of the layered kernel drawing a footprint fills, and with what.

The layers follow the drawing ELISA made by hand for OpenAPS: applications, the system call
interface, three columns (files, network, processes and memory), drivers, services. Every area of
the atlas has a box, so that two views can be laid side by side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from os.path import basename

from kfoot.reports import text
from kfoot.reports.digest import TIERS, digest, letters, strongest, unmeasured
from kfoot.reports.tables import Footprint, Row, rows


@dataclass(slots=True)
class Box:
    """One box. ``areas`` are area names; "fs:" stands for all that begin with it."""

    key: str
    title: str
    areas: tuple[str, ...] = ()
    lines: list[str] = field(default_factory=list)
    """Sections and objects, most used first; cleaned."""
    tiers: dict[str, int | None] = field(default_factory=dict)
    """Largest count of any of its areas by tier."""
    gone: int = 0
    """Sections of the baseline that are not in this footprint."""
    new: int = 0
    """Sections with other tiers than in the baseline."""

    @property
    def tier(self) -> str | None:
        return strongest(self.tiers)

    @property
    def letters(self) -> str:
        return letters(self.tiers).replace(" ", "")


@dataclass(frozen=True, slots=True)
class View:
    """The boxes by layer."""

    applications: tuple[Box, ...]
    interface: Box
    columns: tuple[tuple[Box, ...], ...]
    drivers: tuple[Box, ...]
    services: tuple[Box, ...]
    compared: bool

    def boxes(self) -> list[Box]:
        """All kernel boxes."""
        return [
            self.interface,
            *(box for column in self.columns for box in column),
            *self.drivers,
            *self.services,
        ]


_COLUMNS: tuple[tuple[tuple[str, tuple[str, ...]], ...], ...] = (
    (
        ("Virtual file system", ("vfs",)),
        ("File systems", ("fs", "fs:")),
        ("Asynchronous I/O", ("io_uring",)),
        ("Block devices, volumes", ("block", "block:")),
    ),
    (
        ("Sockets, network core", ("net", "net:socket", "net:core")),
        ("Protocols", ("net:", "netproto:")),
        ("Packet filter, traffic control", ("net:netfilter", "net:sched", "net:bridge")),
        ("Network devices", ("drivers:net",)),
    ),
    (
        ("Processes", ("process", "process:", "cgroup")),
        ("Scheduler, work queues", ("sched", "sched:", "workqueue")),
        ("Virtual memory", ("mm", "mm:")),
        ("Time, signals, locks, IPC", ("time", "signal", "lock", "ipc", "time:", "lock:", "ipc:")),
        ("Interrupts", ("irq", "irq:")),
    ),
)
_DRIVERS = (
    ("Driver core", ("drivers", "drivers:base", "drivers:of", "drivers:acpi", "drivers:core")),
    ("SPI", ("drivers:spi",)),
    ("I2C", ("drivers:i2c",)),
    ("GPIO, pins", ("drivers:gpio", "drivers:pinctrl")),
    ("USB", ("drivers:usb",)),
    ("Terminals, serial", ("drivers:tty",)),
    ("Graphics, input", ("drivers:gpu", "drivers:video", "drivers:input", "drivers:hid")),
    ("Other drivers", ("drivers:", "sound", "sound:")),
)
_SERVICES = (
    ("Security", ("security", "security:")),
    ("Crypto", ("crypto",)),
    ("Tracing", ("trace", "trace:")),
    ("Power", ("power",)),
    ("Modules, boot", ("module",)),
    ("Virtual machines", ("virt",)),
    ("Architecture", ("arch", "arch:")),
    ("Library, other", ("lib", "other", "")),
)
_RUNTIMES = ("node", "nodejs", "python", "perl", "ruby", "java", "bash", "sh", "dash", "busybox")


def system_view(footprint: Footprint, baseline: Footprint | None = None) -> View:
    """The boxes of ``footprint``; with a ``baseline`` they also say what differs from it."""
    columns = tuple(tuple(_box(*spec) for spec in column) for column in _COLUMNS)
    drivers = tuple(_box(*spec) for spec in _DRIVERS)
    services = tuple(_box(*spec) for spec in _SERVICES)
    view = View(
        applications=_applications(footprint),
        interface=_interface(footprint),
        columns=columns,
        drivers=drivers,
        services=services,
        compared=baseline is not None,
    )
    places = _Places([box for box in view.boxes() if box.areas])
    for row in rows(footprint, "areas"):
        box = places.find(row.get("name"))
        for tier in TIERS:
            known, more = box.tiers.get(tier), row.get(tier)
            box.tiers[tier] = more if known is None else max(known, more or 0)
    _fill(footprint, places)
    if baseline is not None:
        _compare(footprint, baseline, places)
    return view


def _box(title: str, areas: tuple[str, ...]) -> Box:
    return Box(title.lower().replace(",", "").replace(" ", "-"), title, areas)


class _Places:
    """Finds the box of an area: the exact name first, then the longest beginning."""

    def __init__(self, boxes: Sequence[Box]):
        self.exact = {area: box for box in boxes for area in box.areas if not area.endswith(":")}
        self.starts = {area: box for box in boxes for area in box.areas if area.endswith(":")}

    def find(self, area: object) -> Box:
        name = str(area) if area is not None else ""
        if name in self.exact:
            return self.exact[name]
        main = name.split(":", 1)[0]
        return self.starts.get(f"{main}:") or self.exact.get(main) or self.exact[""]


def _fill(footprint: Footprint, places: _Places) -> None:
    """List sections, then objects, in their boxes, most used first. A section that has rows in
    several areas of one box is one line."""
    found: list[tuple[int, int, str, Box]] = []
    counts: dict[tuple[str, str], Counter[str]] = {}
    boxes: dict[str, Box] = {}
    for row in rows(footprint, "sections"):
        box = places.find(row.get("area"))
        boxes[box.key] = box
        tiers = counts.setdefault((box.key, text.clean(row.get("name"))), Counter())
        tiers.update({tier: row.get(tier) or 0 for tier in TIERS})
    for (key, name), tiers in counts.items():
        most = max(tiers.values())
        if most:
            found.append((0, -most, f"{name} {most:,}", boxes[key]))
    for row in rows(footprint, "objects"):
        if row.get("area") is not None and row.get("kind") in ("char", "block", "socket"):
            used = sum(number or 0 for number in (row.get("operations") or {}).values())
            line = f"{text.clean(row.get('name'))} {used:,}"
            found.append((1, -used, line, places.find(row.get("area"))))
    for _, _, line, box in sorted(found, key=lambda item: item[:3]):
        box.lines.append(line)


def _sections(
    footprint: Footprint, tiers: Sequence[str], places: _Places
) -> dict[tuple[str, str], tuple[Box, frozenset[str]]]:
    """Sections with the tiers (of ``tiers``) that evidence them."""
    found = {}
    for row in rows(footprint, "sections"):
        evidenced = frozenset(tier for tier in tiers if row.get(tier))
        if evidenced:
            key = str(row.get("name")), str(row.get("area"))
            found[key] = places.find(row.get("area")), evidenced
    return found


def _compare(footprint: Footprint, baseline: Footprint, places: _Places) -> None:
    """Mark what differs, by the tiers both measured: not having looked is no difference."""
    absent = {*unmeasured(footprint), *unmeasured(baseline)}
    tiers = [tier for tier in TIERS if tier not in absent]
    now, then = _sections(footprint, tiers, places), _sections(baseline, tiers, places)
    for key, (box, evidenced) in now.items():
        if key not in then or then[key][1] != evidenced:
            box.new += 1
    for key, (box, _) in then.items():
        if key not in now:
            box.gone += 1


def _applications(footprint: Footprint) -> tuple[Box, ...]:
    """Programs, the runtimes that run scripts (the script is the application), and libraries."""
    programs: dict[str, int] = {}
    runtimes: dict[str, int] = {}
    for row in rows(footprint, "processes"):
        name = text.clean(basename(str(row.get("exe") or "")) or "(unknown)")
        calls = row.get("calls") or 0
        if name.rstrip("0123456789.") not in _RUNTIMES:
            programs[name] = programs.get(name, 0) + calls
            continue
        runtimes[name] = runtimes.get(name, 0) + calls
        script = next(iter((row.get("argv") or [])[1:2]), "-")
        if not script.startswith("-"):
            name = text.clean(basename(script))
            programs[name] = programs.get(name, 0) + calls
    libraries = {
        text.clean(basename(str(row.get("name"))))
        for row in rows(footprint, "objects")
        if row.get("kind") == "file" and _is_library(str(row.get("name")))
    }
    return (
        Box("applications", "Applications", lines=_ranked(programs)),
        Box("runtimes", "Runtimes, shells", lines=_ranked(runtimes)),
        Box("libraries", "System libraries", lines=sorted(libraries)),
    )


def _ranked(calls: dict[str, int]) -> list[str]:
    ranked = sorted(calls, key=lambda name: (-calls[name], name))
    return [f"{name} {calls[name]:,}" for name in ranked]


def _is_library(path: str) -> bool:
    name = basename(path)
    return name.endswith(".so") or (".so." in name and not name.startswith("ld.so."))


def _interface(footprint: Footprint) -> Box:
    facts = digest(footprint)
    box = Box("interface", "System call interface")
    abis: dict[str, list[Row]] = {}
    for row in facts.syscalls:
        abis.setdefault(text.clean(row.get("abi") or "ABI unknown"), []).append(row)
    for abi, found in sorted(abis.items()):
        calls = sum(row.get("calls") or 0 for row in found)
        box.lines.append(f"{abi}: {text.times(len(found), 'system call')}, called {calls:,} times")
    requests = len({name for name, _, _ in facts.ioctls})
    if requests:
        box.lines.append(f"ioctl: {text.times(requests, 'request')}")
    box.tiers = {"entered": facts.calls}
    return box
