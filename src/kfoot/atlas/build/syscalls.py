"""System call tables of every ABI the sources carry, each call with the file that defines it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from kfoot.atlas.build import definitions
from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.build.definitions import Definition, Definitions, choose
from kfoot.atlas.build.syscalltables import ABIS, BY_NAME, Abi, Entry, Tables, is_table
from kfoot.atlas.schema import Row


class SyscallRow(NamedTuple):
    """One number of one ABI. ``area_file``: the file whose area holds; None: that of ``file``."""

    abi: str
    nr: int
    name: str
    entry: str | None
    compat: str | None
    implemented: bool
    file: str | None
    area_file: str | None
    how: str


_NOT_THERE = frozenset(("sys_ni_syscall", "sys_nis_syscall", "sys32_unimplemented"))
_AREA_OF = (
    (re.compile(r"^(compat_)?(x32_)?(rt_)?sigreturn$"), "kernel/signal.c"),
    (re.compile(r"^arch_prctl$"), "kernel/sys.c"),
    (re.compile(r"^(fork|vfork|clone|clone3|clone2)$"), "kernel/fork.c"),
    (re.compile(r"^(execve|execveat)$"), "fs/exec.c"),
)
"""Calls whose work is generic although their entry has to be the architecture's."""

_WORKERS = ("ksys_", "sys_", "compat_sys_", "__sys_", "kernel_", "do_", "vfs_", "__do_", "compat_")
"""What a forwarder calls starts with, the likeliest first."""


class Syscalls(Builder):
    """Joins the tables with the definitions."""

    name = "syscalls"
    needs = ("areas", "maintainers")

    def __init__(self) -> None:
        self._definitions = Definitions()
        self.tables = Tables()

    def wants(self, path: str) -> bool:
        return is_table(path) or definitions.wants(path)

    def scan(self, path: str, data: bytes) -> str | definitions.Facts | None:
        if is_table(path):
            return data.decode("utf-8", "replace")
        return definitions.scan(path, data)

    def take(self, path: str, facts: str | definitions.Facts) -> None:
        if isinstance(facts, str):
            self.tables.take(path, facts)
        else:
            self._definitions.take(path, facts)

    def finish(self, context: Context) -> Mapping[str, Iterable[Row]]:
        """Table ``syscalls``, by ABI and number."""
        rows: list[Row] = []
        for row in self.rows(context.architectures):
            file, section, area, how = context.place(row.file, row.how)
            if row.area_file:
                area = context.area_of(row.area_file)
            rows.append((*row[:6], file, section, area, how))
        return {"syscalls": rows}

    def rows(self, architectures: tuple[str, ...] = ()) -> list[SyscallRow]:
        """Every number of every ABI (of ``architectures``, names below arch/, if any)."""
        chosen = [abi for abi in ABIS if not architectures or abi.arch in architectures]
        return [row for abi in chosen for row in self._resolve(abi, self.tables.table(abi))]

    def _resolve(self, abi: Abi, table: Iterable[Entry]) -> Iterator[SyscallRow]:
        for entry in table:
            target = entry.entry or entry.compat
            if target is None or target in _NOT_THERE:
                yield SyscallRow(abi.name, *entry, False, None, None, "not-implemented")
                continue
            if target == "arm_syscall":
                yield SyscallRow(
                    abi.name, *entry, True, "arch/arm/kernel/traps.c", None, "syscall-override"
                )
                continue
            if target.startswith(BY_NAME):
                yield self._by_name(entry, abi)
                continue
            found = self._definition(entry, abi)
            if found is None:
                # Only sys_ni.c knows it: its implementation was removed from the kernel.
                gone = target in self._definitions.optional
                how = "not-implemented" if gone else "unmapped"
                yield SyscallRow(abi.name, *entry, not gone, None, None, how)
                continue
            area_file, forwards = self._forwards(entry, found, abi)
            how = f"syscall-{found.kind}" + (f"+{forwards}" if forwards else "")
            yield SyscallRow(abi.name, *entry, True, found.path, area_file, how)

    def _by_name(self, entry: Entry, abi: Abi) -> SyscallRow:
        """Of a tree that lists numbers only: the entry its name leads to, else not implemented
        as far as one can tell."""
        for name in _entries(entry.name):
            tried = entry._replace(entry=f"sys_{name}")
            found = self._definition(tried, abi)
            if found:
                area_file, forwards = self._forwards(tried, found, abi)
                how = f"syscall-{found.kind}+by-name" + (f"+{forwards}" if forwards else "")
                return SyscallRow(abi.name, *tried, True, found.path, area_file, how)
        return SyscallRow(abi.name, *entry._replace(entry=None), False, None, None, "number-only")

    def _definition(self, entry: Entry, abi: Abi) -> Definition | None:
        for name in _spellings(entry):
            found = choose(self._definitions.get(name), abi.arch, abi.bits)
            if found:
                return found
        return None

    def _forwards(self, entry: Entry, found: Definition, abi: Abi) -> tuple[str | None, str]:
        if not found.path.startswith("arch/"):
            return None, ""
        for pattern, file in _AREA_OF:
            if pattern.match(entry.name):
                return file, "generic-work"
        there = self._generic(found.calls, abi)
        if there is None:
            # One step through a helper of the architecture (riscv_sys_mmap), else the generic
            # call of the same name (ia32_ftruncate64 does what ftruncate64 does).
            for call in found.calls:
                near = choose(self._definitions.get(call), abi.arch, abi.bits)
                if near and near.path == found.path:
                    there = there or self._generic(near.calls, abi)
        if there is None:
            names = (f"sys_{entry.name}", f"compat_sys_{entry.name}")
            there = self._generic(names, abi)
        return there, "forwards" if there else ""

    def _generic(self, calls: Iterable[str], abi: Abi) -> str | None:
        """File outside arch/ that defines the likeliest of ``calls`` to do the work."""
        for prefix in _WORKERS:
            for call in calls:
                if call.startswith(prefix):
                    there = choose(self._definitions.get(call), abi.arch, abi.bits)
                    if there and not there.path.startswith("arch/"):
                        return there.path
        return None


def _entries(name: str) -> Iterator[str]:
    """Entries a call of that name usually has, in tables that list numbers only."""
    if name in _NEWER:
        yield _NEWER[name]
    yield name
    if name.endswith("32"):
        # 32-bit user and group ids: the plain name was taken by the 16-bit call.
        yield name.removesuffix("32")
    yield name.removeprefix("osf_").removeprefix("_")


_NEWER = {
    "stat": "newstat",
    "fstat": "newfstat",
    "lstat": "newlstat",
    "uname": "newuname",
    "oldstat": "stat",
    "oldfstat": "fstat",
    "oldlstat": "lstat",
    "olduname": "uname",
    "oldolduname": "olduname",
    "umount2": "umount",
    "umount": "oldumount",
    "ugetrlimit": "getrlimit",
    "_newselect": "select",
}
_RENAMED = {"sys_mmap2": "sys_mmap_pgoff"}
"""``#define sys_mmap2 sys_mmap_pgoff`` of arc, hexagon, nios2, openrisc."""

_PREFIX = re.compile(
    r"^(__x64_|__x32_|__ia32_|__arm64_|__riscv_|__s390x?_|stub_|stub32_|__sys_|ppc_|ppc64_|ppc32_"
    r"|sparc_|sparc64_|sparc32_|parisc_|mips_|arm_|old_)"
)


def _spellings(entry: Entry) -> Iterator[str]:
    """Names under which the entry may be defined, best first."""
    for target in (entry.entry, entry.compat):
        if target is None:
            continue
        target = target.split("/", 1)[0]
        yield target
        base = _PREFIX.sub("", target)
        yield base
        if not base.startswith(("sys_", "compat_sys_")):
            yield f"sys_{base}"
        if base.endswith("_wrapper"):
            yield base.removesuffix("_wrapper")
        for prefix in ("sysn32_", "sys32_", "sys64_", "sysm_", "sys_"):
            if base.startswith(prefix):
                rest = base.removeprefix(prefix)
                yield f"sys_{rest}"
                yield f"sys_old_{rest}"
                yield f"compat_sys_{rest}"
                yield f"sys_mips_{rest}"
                yield f"sys_sparc_{rest}"
    yield _RENAMED.get(entry.entry or "", f"sys_{entry.name}")
