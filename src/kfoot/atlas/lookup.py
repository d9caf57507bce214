"""Look-ups in an opened atlas file: ``kfoot.atlas.model.Atlas`` over ``store.AtlasFile``."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

from kfoot.atlas.abi import ioctl_classes
from kfoot.atlas.model import (
    NOWHERE,
    Config,
    Event,
    File,
    Function,
    Ioctl,
    Module,
    Place,
    Section,
    Syscall,
)
from kfoot.atlas.store import AtlasFile

_SUFFIX = re.compile(r"(?:\.(?:isra|constprop|part|cold|lto_priv|llvm|localalias)(?:\.\d+)*)+$")
"""What compilers append to the name of a copy of a function."""
_WRAPPER = re.compile(r"__(?:x64|ia32|x32|arm64|s390x?|riscv|powerpc|do|se)_(compat_)?(sys_\w+)")
"""Functions that SYSCALL_DEFINE makes around the one in the source."""
_SAME_FAMILY = {"AF_LOCAL": "AF_UNIX", "AF_FILE": "AF_UNIX", "AF_ROUTE": "AF_NETLINK"}
_MISC = 10
"""MISC_MAJOR (include/uapi/linux/major.h): every minor is another driver."""
_MEMO = 1 << 16

Row = tuple[Any, ...]


class AtlasView:
    """One opened atlas. ``note`` says, for a person, what is uncertain about using it."""

    def __init__(self, file: AtlasFile, *, why: str = "", note: str | None = None):
        self.file_on_disk = file
        self.name = str(file.header["release"])
        self.source = str(file.header["source"])
        self.rules = int(file.header["rules"])
        self.why = why
        """Why this atlas was chosen."""
        self.note = note
        self.place_of = lru_cache(_MEMO)(self._place_of)
        self.syscall = lru_cache(_MEMO)(self._syscall)
        self.function = lru_cache(_MEMO)(self._function)
        self.event = lru_cache(_MEMO)(self._event)

    @cached_property
    def sha256(self) -> str:
        return self.file_on_disk.sha256()

    def _select(self, table: str, column: str, value: int | str) -> list[Row]:
        return self.file_on_disk[table].select(column, value)

    # --- syscalls ---

    @lru_cache(1)  # noqa: B019 - one list an atlas, and atlases live as long as the process
    def abis(self) -> tuple[str, ...]:
        return self.file_on_disk["syscalls"].words("abi")

    def _syscall(self, abi: str, key: int | str) -> Syscall | None:
        table = self.file_on_disk["syscalls"]
        if isinstance(key, int):
            rows = table.find("abi", abi)
            at = bisect_left(rows, key, key=lambda row: int(table.value(row, "nr")))
            found = [row for row in rows[at : at + 4] if table.value(row, "nr") == key]
        else:
            found = table.find("name", key)
            for entry in (key, f"sys_{key}", f"compat_sys_{key}"):
                found += table.find("entry", entry)
            found = [row for row in found if table.value(row, "abi") == abi]
        calls = [_syscall(table.row(row)) for row in found]
        return next((call for call in calls if call.implemented), calls[0] if calls else None)

    def syscalls(self, abi: str) -> tuple[Syscall, ...]:
        return tuple(map(_syscall, self._select("syscalls", "abi", abi)))

    # --- events, functions ---

    def _event(self, name: str, system: str | None = None) -> tuple[Event, ...]:
        if system is None and ":" in name:
            system, _, name = name.partition(":")
        found = tuple(
            Event(row[0], row[1], Place(row[3], *row[5:]))
            for row in self._select("events", "name", name)
            if system in (None, row[0])
        )
        area = self._area_of_system(system) if system and not found else None
        if area is None or system is None:
            return found
        return (Event(system, name, Place(None, None, area, "event-system-only")),)

    @lru_cache(256)  # noqa: B019 - as for abis
    def _area_of_system(self, system: str) -> str | None:
        """The area nine of ten of a system's events are in: good for one these sources do not
        have yet. The calls of ``syscalls`` have no area in common."""
        areas = Counter(row[6] for row in self._select("events", "system", system))
        total = sum(areas.values())
        area, count = areas.most_common(1)[0] if areas else (None, 0)
        return area if area and count * 10 >= total * 9 else None

    def _function(self, name: str) -> tuple[Function, ...]:
        plain = _SUFFIX.sub("", name)
        found = self._select("functions", "name", plain)
        if not found:
            wrapper = _WRAPPER.fullmatch(plain)
            if wrapper is None:
                return ()
            places = {
                Place(row[6], row[7], row[8], "syscall wrapper")
                for row in self._select("syscalls", "entry", (wrapper[1] or "") + wrapper[2])
            }
            return tuple(Function(plain, True, place) for place in sorted(places, key=str))
        return tuple(
            Function(row[0], bool(row[2]), self.place(row[1], "definition")) for row in found
        )

    # --- ioctls ---

    def ioctl(self, key: int | str, *, abi: str = "x86_64") -> tuple[Ioctl, ...]:
        kinds = ioctl_classes(abi)
        if isinstance(key, str):
            rows = self._select("ioctls", "name", key)
        else:
            rows = self._select("ioctls", "nr", key & 0xFFFFFFFF)
            rows = [row for row in rows if row[4] is None]
            rows += [row for row in self._families if key & row[4] == row[2] & row[4]]
        rows = [row for row in rows if row[1] in kinds]
        return tuple(self._ioctl(row) for row in dict.fromkeys(rows))

    @cached_property
    def _families(self) -> list[Row]:
        """Requests of varying size."""
        table = self.file_on_disk["ioctls"]
        masks = table.columns["mask"]
        return [table.row(n) for n in range(len(table)) if masks.number(n) is not None]

    def _ioctl(self, row: Row) -> Ioctl:
        name, _, nr, size, mask, header = row
        handlers = tuple(
            Place(*handler[2:]) for handler in self._select("ioctl_handlers", "name", name)
        )
        return Ioctl(name, nr, None if mask is not None else size, header, handlers)

    # --- objects ---

    def filesystem(self, fstype: str) -> Place:
        return _first(self._select("filesystems", "name", fstype), 1)

    def anon_inode(self, name: str) -> Place:
        """With or without brackets; "anon_inode:" is stripped."""
        name = name.removeprefix("anon_inode:").strip("[]")
        found = self._select("anon_inodes", "name", f"[{name}]")
        found = found or self._select("anon_inodes", "name", name)
        if not found and ":" in name:
            # kvm-vcpu:3 is printed with its number.
            found = self._select("anon_inodes", "name", name.partition(":")[0] + ":")
        return _first(found, 1)

    def socket(self, family: str, type: str | None, protocol: str | None) -> Place:
        if family.startswith("PF_"):
            family = f"AF_{family[3:]}"
        if protocol:
            protocol = protocol.removeprefix("IPPROTO_")
        rows = [
            row
            for row in self._select("sockets", "family", _SAME_FAMILY.get(family, family))
            if row[1] in (None, type) and row[2] in (None, protocol)
        ]
        rows.sort(key=lambda row: (row[2] is None, row[1] is None))
        return _first(rows, 3)

    def device(self, kind: str, name: str, major: int | None, minor: int | None) -> Place:
        """The exact number first (the name may be a driver's for several: mem, tty), then the
        driver's name, then the nearest minor number below that a tty driver begins at."""
        name = name.removeprefix("/dev/")
        rows = self._select("devices", "name", name)
        if major is not None:
            rows = [row for row in rows if row[2] in (None, major)]
            rows += [
                row
                for row in self._select("devices", "major", major)
                if row[3] in (None, minor) or row[7] == "tty-driver"
            ]
        below = [
            row
            for row in rows
            if row[1] == kind and (row[3] is None or (minor is not None and row[3] <= minor))
        ]

        def rank(row: Row) -> tuple[bool, bool, bool, int]:
            exact = row[2:4] == (major, minor)
            return not exact, row[0] != name, row[2] is None, -(row[3] or 0)

        best = min(below, key=rank, default=None)
        return NOWHERE if best is None else Place(*best[4:])

    # --- files and what is said of them ---

    def module(self, name: str) -> Module | None:
        rows = self._select("modules", "name", name.replace("-", "_"))
        row = _common(rows, 3)
        return None if row is None else Module(row[0], row[1], row[2], Place(*row[3:]))

    def modules(self, name: str) -> tuple[Module, ...]:
        """All that have the name: one a folder (kvm of each architecture)."""
        rows = self._select("modules", "name", name.replace("-", "_"))
        return tuple(Module(row[0], row[1], row[2], Place(*row[3:])) for row in rows)

    def file(self, path: str) -> File | None:
        rows = self._select("files", "path", path)
        return File(*rows[0]) if rows else None

    def config(self, name: str) -> Config | None:
        if not name.startswith("CONFIG_"):
            name = f"CONFIG_{name}"
        rows = self._select("kconfig", "name", name)
        rows.sort(key=lambda row: (row[2] is None, row[4].startswith("arch/"), row[4]))
        return Config(rows[0][0], rows[0][2], rows[0][3], rows[0][4]) if rows else None

    def section(self, name: str) -> Section | None:
        rows = self._select("sections", "name", name)
        return Section(*rows[0]) if rows else None

    def place(self, path: str | None, how: str) -> Place:
        if path is None:
            return NOWHERE
        return self.place_of(path)._replace(how=how)

    def _place_of(self, path: str) -> Place:
        table = self.file_on_disk["files"]
        rows = table.find("path", path)
        if not rows:
            return Place(path, None, None, "")
        sections = table.value(rows[0], "sections")
        return Place(path, sections[0] if sections else None, table.value(rows[0], "area"), "")


def _syscall(row: Row) -> Syscall:
    abi, nr, name, entry, compat, implemented, *place = row
    return Syscall(abi, nr, name, entry, compat, implemented, Place(*place))


def _first(rows: Sequence[Row], at: int) -> Place:
    """The place of the row outside arch/ that comes first."""
    row = _common(rows, at)
    return NOWHERE if row is None else Place(*row[at:])


def _common(rows: Sequence[Row], file: int) -> Row | None:
    """The first row whose file is not an architecture's own, else of x86, else the first."""

    def foreign(row: Row) -> int:
        path = row[file] or ""
        return 0 if not path.startswith("arch/") else 1 if path.startswith("arch/x86/") else 2

    return min(rows, key=foreign, default=None)
