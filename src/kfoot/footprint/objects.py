"""What an object of a call *is*: its driver or filesystem or protocol, and where that lives.

The recorder's word comes first (a descriptor decorated by strace, an object read in the kernel),
then the system's state recorded with the capture (/sys/dev for devices, mountinfo for files), then
conventions that hold on every Linux (/proc is procfs). ``how`` says which it was.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kfoot.atlas.model import NOWHERE, Atlas, Place
from kfoot.footprint.system import System
from kfoot.readers.reading import Object


class Resolved(NamedTuple):
    """An object as the footprint shows it."""

    kind: str
    name: str
    driver: str | None
    place: Place
    how: str


_VIRTUAL = (
    ("/proc/", "proc"),
    ("/sys/kernel/tracing/", "tracefs"),
    ("/sys/kernel/debug/", "debugfs"),
    ("/sys/fs/cgroup/", "cgroup2"),
    ("/sys/fs/bpf/", "bpf"),
    ("/sys/", "sysfs"),
    ("/dev/shm/", "tmpfs"),
    ("/dev/pts/", "devpts"),
)
"""Where virtual filesystems are mounted on every Linux; used when no mount table was recorded."""

_ANON = {"fifo": "pipefs", "memfd": "tmpfs"}


class Objects:
    """Resolves the objects of one capture."""

    def __init__(self, atlas: Atlas, system: System):
        self.atlas = atlas
        self.system = system
        self._known: dict[Object, Resolved] = {}

    def resolve(self, found: Object) -> Resolved:
        """Kind, driver and place of an object; place NOWHERE when nothing tells."""
        if found not in self._known:
            self._known[found] = self._resolve(found)
        return self._known[found]

    def _resolve(self, found: Object) -> Resolved:
        match found.kind:
            case "char" | "block":
                return self._device(found, found.kind)
            case "socket":
                return self._socket(found)
            case "anon":
                place = self.atlas.anon_inode(found.name)
                return Resolved("anon", found.name, None, place, found.how)
            case "fifo":
                place = self.atlas.filesystem(found.fstype or "pipefs")
                return Resolved(
                    "fifo", found.name or "pipe", found.fstype or "pipefs", place, found.how
                )
            case "file" | "directory" | "path" | "link":
                return self._file(found)
        return Resolved(found.kind, found.name, found.driver, NOWHERE, found.how)

    def _device(self, found: Object, kind: str) -> Resolved:
        major, minor = found.device or (None, None)
        listed = self.system.device(kind, major, minor, found.name)
        name = found.name or (f"/dev/{listed.name}" if listed and listed.name else "")
        if not name and found.device:
            name = f"{kind} {major}:{minor}"
        driver = found.driver or (listed.driver if listed else None)
        for word, how in (
            (driver, "driver"),
            (listed.subsystem if listed else None, "device class"),
            (re.sub(r"[\d.:p-]+$", "", name.rsplit("/", 1)[-1]), "device name"),
        ):
            place = self.atlas.device(kind, word, major, minor) if word else NOWHERE
            if place.file is not None:
                return Resolved(kind, name, driver or word, place, f"{found.how}, {how}")
        place = self.atlas.device(kind, "", major, minor)
        return Resolved(kind, name, driver, place, found.how)

    def _socket(self, found: Object) -> Resolved:
        family = found.family or "AF_UNSPEC"
        words = [word for word in (family, found.type, found.protocol) if word]
        place = self.atlas.socket(family, found.type, found.protocol)
        peer = f" {found.name}" if found.name else ""
        return Resolved(
            "socket", " ".join(words) + peer, found.protocol or family, place, found.how
        )

    def _file(self, found: Object) -> Resolved:
        if found.name.startswith("/dev/") and found.kind != "directory":
            listed = self.system.device_named(found.name)
            if listed is not None:
                return self._device(found._replace(device=listed.number), listed.kind)
        fstype, how = found.fstype, found.how
        if fstype is None:
            fstype = self.system.filesystem_of(found.name)
            how = f"{how}, mount table"
        if fstype is None:
            fstype = next(
                (fs for prefix, fs in _VIRTUAL if (found.name + "/").startswith(prefix)), None
            )
            how = f"{found.how}, path"
        if fstype is None and found.name.startswith("/dev/") and found.kind != "directory":
            device = self._device(found, "char")
            if device.place.file is not None:
                return device
        if fstype is None:
            return Resolved(found.kind, found.name, None, NOWHERE, found.how)
        return Resolved(found.kind, found.name, fstype, self.atlas.filesystem(fstype), how)
