"""What calls act on: the arguments that name it, and calls that only use it.

The base of ``descriptors.Descriptors``; see there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from kfoot.readers.reading import Object, Request
from kfoot.readers.strace_args import FD, STRING, descriptor, number
from kfoot.readers.strace_objects import Objects
from kfoot.readers.syscall_roles import DIRECTORY_CALLS

_MODE = re.compile(r"stx?_mode=(?:0[0-7x]+ /\* )?S_IF(REG|DIR|CHR|BLK|IFO|SOCK)")
_RDEV = re.compile(r"st_rdev=makedev\((0x[0-9a-f]+|\d+)(?: /\*.*?\*/)?, (0x[0-9a-f]+|\d+)")
_KINDS = {
    "REG": "file",
    "DIR": "directory",
    "CHR": "char",
    "BLK": "block",
    "IFO": "fifo",
    "SOCK": "socket",
}
_MMAP_FD = re.compile(r"(?:[^,]*, ){4}", re.DOTALL)


class FileTable(dict[str, int]):
    """Open descriptors (as decimal text) to object indices."""

    __slots__ = ("cloexec",)

    def __init__(self, other: FileTable | None = None):
        super().__init__(other or {})
        self.cloexec: set[str] = set(other.cloexec) if other else set()

    def put(self, fd: str, index: int, cloexec: bool) -> None:
        if not fd.isdecimal():
            return  # -1 and AT_FDCWD are no descriptors, whatever a line says was done to them
        self[fd] = index
        if cloexec:
            self.cloexec.add(fd)
        else:
            self.cloexec.discard(fd)

    def exec(self) -> FileTable:
        """The table after a successful exec: a copy without what is closed on exec."""
        after = FileTable()
        after.update((fd, index) for fd, index in self.items() if fd not in self.cloexec)
        return after


class Acted(NamedTuple):
    """What a call acted on, as indices of objects."""

    object: int | None = None
    object2: int | None = None
    request: Request | None = None


NOTHING = Acted()


@dataclass(slots=True)
class Ended:
    """A call that came back, as the handlers see it."""

    name: str = ""
    args: str = ""
    result: str = "?"
    decoration: str | None = None
    ok: bool = False


class Acting:
    """Calls that use descriptors and paths and make none."""

    def __init__(self, objects: Objects):
        self.objects = objects

    def _at(self, files: FileTable, text: str, start: int = 0) -> tuple[int | None, str, int]:
        """The descriptor argument at ``start``: its object, its number, where the next begins."""
        found = FD.match(text, start)
        if found is None:
            return None, "-1", start
        fd, after = descriptor(found[1]), found.end() + 2
        if found[2]:
            return self.objects.decorated(found[2], files.get(fd)), fd, after
        if fd in files:
            return files[fd], fd, after
        if fd in ("AT_FDCWD", "-1") or fd.startswith("-"):
            return None, fd, after
        return self.objects.unknown(), fd, after

    def _fd(self, files: FileTable, call: Ended) -> Acted:
        index = self._at(files, call.args)[0]
        if call.ok and index is not None and call.name in DIRECTORY_CALLS:
            self.objects.refine(index, "directory")
        return Acted(index)

    def _name(self, text: str, start: int, base: int | None) -> tuple[int | None, int]:
        """The object of the path argument at ``start``, relative to ``base``; where it ends."""
        found = STRING.match(text, start)
        if found is None:
            return None, start
        raw = found[1]
        if found[2]:
            raw += found[2]
        if not raw:
            return base, found.end()
        if base is None or raw.startswith(("/", "\\x2f", "\\57")):
            return self.objects.path(raw), found.end()
        return self.objects.path_below(base, raw), found.end()

    def _dir_path(self, files: FileTable, call: Ended) -> Acted:
        base, _, after = self._at(files, call.args)
        index, after = self._name(call.args, after, base)
        return self._seen(index, call, after)

    def _path(self, files: FileTable, call: Ended) -> Acted:
        index, after = self._name(call.args, 0, None)
        return self._seen(index, call, after)

    def _seen(self, index: int | None, call: Ended, after: int) -> Acted:
        """A path was used; what success and a stat's answer say of it."""
        if index is None:
            return NOTHING
        if call.ok:
            if call.name not in ("unlink", "unlinkat", "rmdir"):
                self.objects.exists(index)
            if call.name in DIRECTORY_CALLS:
                self.objects.refine(index, "directory")
            elif not call.name.startswith(("lstat", "oldlstat")) and "NOFOLLOW" not in call.args:
                self._stat(index, call.args, after)
        return Acted(index)

    def _stat(self, index: int, args: str, after: int) -> None:
        mode = _MODE.search(args, after)
        if mode is None:
            return
        kind, device = _KINDS[mode[1]], None
        if kind in ("char", "block"):
            number_of = _RDEV.search(args, mode.end())
            if number_of:
                device = (number(number_of[1]) or 0, number(number_of[2]) or 0)
        self.objects.refine(index, kind, device)

    def _two_dir_paths(self, files: FileTable, call: Ended) -> Acted:
        base, _, after = self._at(files, call.args)
        first, after = self._name(call.args, after, base)
        base, _, after = self._at(files, call.args, after + 2)
        second, _ = self._name(call.args, after, base)
        return self._both(first, second, call)

    def _two_paths(self, files: FileTable, call: Ended) -> Acted:
        first, after = self._name(call.args, 0, None)
        second, _ = self._name(call.args, after + 2, None)
        return self._both(first, second, call)

    def _both(self, first: int | None, second: int | None, call: Ended) -> Acted:
        for index in (first, second):
            if call.ok and index is not None:
                self.objects.exists(index)
        return Acted(first, second)

    def _symlink(self, files: FileTable, call: Ended) -> Acted:
        target = STRING.match(call.args)
        after = target.end() + 2 if target else 0
        index, after = self._name(call.args, after, None)
        return self._seen(index, call, after)

    def _symlinkat(self, files: FileTable, call: Ended) -> Acted:
        target = STRING.match(call.args)
        base, _, after = self._at(files, call.args, target.end() + 2 if target else 0)
        index, after = self._name(call.args, after, base)
        return self._seen(index, call, after)

    def _exec(self, files: FileTable, call: Ended) -> Acted:
        at, base = 0, None
        if call.name == "execveat":
            base, _, at = self._at(files, call.args)
        index, _ = self._name(call.args, at, base)
        if index is not None and call.ok:
            self.objects.exists(index, opened=True)
        return Acted(index)

    def _mmap(self, files: FileTable, call: Ended) -> Acted:
        if "MAP_ANON" in call.args:
            return NOTHING
        skipped = _MMAP_FD.match(call.args)
        return Acted(self._at(files, call.args, skipped.end())[0]) if skipped else NOTHING

    def _epoll_ctl(self, files: FileTable, call: Ended) -> Acted:
        index, _, after = self._at(files, call.args)
        if call.name == "epoll_ctl":
            after = call.args.find(", ", after) + 2
        return Acted(index, self._at(files, call.args, after)[0])

    def _sendfile(self, files: FileTable, call: Ended) -> Acted:
        out, _, after = self._at(files, call.args)
        return Acted(self._at(files, call.args, after)[0], out)

    def _splice(self, files: FileTable, call: Ended) -> Acted:
        source, _, after = self._at(files, call.args)
        if call.name != "tee":
            after = call.args.find(", ", after) + 2
        return Acted(source, self._at(files, call.args, after)[0])

    def _fanotify_mark(self, files: FileTable, call: Ended) -> Acted:
        index, _, after = self._at(files, call.args)
        for _ in range(2):
            after = call.args.find(", ", after) + 2
        base, _, after = self._at(files, call.args, after)
        return Acted(index, self._name(call.args, after, base)[0])

    def _fstat(self, files: FileTable, call: Ended) -> Acted:
        index, fd, after = self._at(files, call.args)
        if not call.ok or index is None:
            return Acted(index)
        row = self.objects.rows[index]
        if row.kind != "unknown":
            self._stat(index, call.args, after)
            return Acted(index)
        mode = _MODE.search(call.args, after)
        device = _RDEV.search(call.args, after)
        if mode is not None:
            kind = _KINDS[mode[1]]
            pair = (number(device[1]) or 0, number(device[2]) or 0) if device else None
            name = "pipe" if kind == "fifo" else ""
            index = self.objects.add(Object(kind, name, pair, how="followed"))
            files.put(fd, index, fd in files.cloexec)
        return Acted(index)
