"""System call tables of every ABI the sources carry, each call with the file that defines it.

Sources of the numbers, by age of the tree: ``syscall*.tbl`` of the architecture,
``scripts/syscall.tbl`` with ``arch/*/kernel/Makefile.syscalls`` (6.11 and later),
``include/uapi/asm-generic/unistd.h`` (before), and the architecture's own ``unistd.h`` where an
old tree has nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from kfoot.atlas.build import definitions
from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.build.cpp import Preprocessor
from kfoot.atlas.build.definitions import Definition, Definitions, choose
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


class Abi(NamedTuple):
    """How an ABI's table is found: the words in column two, and what is added to the numbers."""

    name: str
    arch: str
    bits: int
    table: str | None
    words: tuple[str, ...] = ("common",)
    offset: int = 0


_S = "kernel/syscalls/syscall.tbl"
_X32_BIT = 0x40000000
"""__X32_SYSCALL_BIT: x32 tasks set it, and it is recorded with the number."""

ABIS = (
    Abi("x86_64", "x86", 64, "entry/syscalls/syscall_64.tbl", ("common", "64")),
    Abi("x32", "x86", 64, "entry/syscalls/syscall_64.tbl", ("common", "x32"), _X32_BIT),
    Abi("i386", "x86", 32, "entry/syscalls/syscall_32.tbl", ("i386",)),
    Abi("arm", "arm", 32, "tools/syscall.tbl", ("common", "eabi")),
    Abi("arm_oabi", "arm", 32, "tools/syscall.tbl", ("common", "oabi")),
    Abi("arm64", "arm64", 64, None),
    Abi("riscv64", "riscv", 64, None),
    Abi("riscv32", "riscv", 32, None),
    Abi("powerpc64", "powerpc", 64, _S, ("common", "nospu", "64")),
    Abi("powerpc32", "powerpc", 32, _S, ("common", "nospu", "32")),
    Abi("s390x", "s390", 64, _S, ("common", "64")),
    Abi("s390", "s390", 32, _S, ("common", "32")),
    Abi("mips_o32", "mips", 32, "kernel/syscalls/syscall_o32.tbl", ("o32",), 4000),
    Abi("mips_n64", "mips", 64, "kernel/syscalls/syscall_n64.tbl", ("common", "n64"), 5000),
    Abi("mips_n32", "mips", 64, "kernel/syscalls/syscall_n32.tbl", ("n32",), 6000),
    Abi("loongarch64", "loongarch", 64, None),
    Abi("loongarch32", "loongarch", 32, None),
    Abi("sparc64", "sparc", 64, _S, ("common", "64")),
    Abi("sparc32", "sparc", 32, _S, ("common", "32")),
    Abi("parisc64", "parisc", 64, _S, ("common", "64")),
    Abi("parisc32", "parisc", 32, _S, ("common", "32")),
    Abi("m68k", "m68k", 32, _S),
    Abi("sh", "sh", 32, _S),
    Abi("xtensa", "xtensa", 32, _S),
    Abi("alpha", "alpha", 64, _S),
    Abi("ia64", "ia64", 64, _S, ("common",), 1024),
    Abi("microblaze", "microblaze", 32, _S),
    Abi("arc", "arc", 32, None),
    Abi("csky", "csky", 32, None),
    Abi("hexagon", "hexagon", 32, None),
    Abi("nios2", "nios2", 32, None),
    Abi("openrisc", "openrisc", 32, None),
)

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

_GENERIC = "include/uapi/asm-generic/unistd.h"
_TABLE = "scripts/syscall.tbl"


def _is_table(path: str) -> bool:
    return path in (_GENERIC, _TABLE) or bool(
        re.fullmatch(
            r"arch/\w+/(?:.*syscall\w*\.tbl|kernel/Makefile\.syscalls"
            r"|include/(?:uapi/)?asm/unistd(?:_\w+)?\.h)",
            path,
        )
    )


class Entry(NamedTuple):
    nr: int
    name: str
    entry: str | None
    compat: str | None


class Syscalls(Builder):
    """Joins the tables with the definitions."""

    name = "syscalls"
    needs = ("areas", "maintainers")

    def __init__(self) -> None:
        self._definitions = Definitions()
        self._texts: dict[str, str] = {}

    def wants(self, path: str) -> bool:
        return _is_table(path) or definitions.wants(path)

    def scan(self, path: str, data: bytes) -> str | definitions.Facts | None:
        if _is_table(path):
            return data.decode("utf-8", "replace")
        return definitions.scan(path, data)

    def take(self, path: str, facts: str | definitions.Facts) -> None:
        if isinstance(facts, str):
            self._texts[path] = facts
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
        return [row for abi in chosen for row in self._resolve(abi, self.table(abi))]

    def table(self, abi: Abi) -> list[Entry]:
        """Numbers and names of one ABI; empty when the tree does not have it."""
        folder = f"arch/{abi.arch}/"
        if not any(path.startswith(folder) for path in self._texts):
            return []
        if abi.table and (text := self._texts.get(folder + abi.table)):
            found = list(_rows(text, set(abi.words), abi.offset))
        elif (text := self._texts.get(_TABLE)) and abi.table is None:
            found = list(_rows(text, self._words(abi), abi.offset))
            found = self._renumbered(abi, found)
        else:
            found = self._from_headers(abi)
        if abi.arch == "arm" and found:
            found += self._arm_private()
        unique = {entry.nr: entry for entry in reversed(found)}
        return [unique[number] for number in sorted(unique)]

    def _words(self, abi: Abi) -> set[str]:
        """Column-two words of ``scripts/syscall.tbl`` an architecture takes: its own makefile
        adds to the two scripts/Makefile.asm-headers starts from. Empty where it names no ABI of
        that size (there is no 32-bit LoongArch)."""
        makefile = self._texts.get(f"arch/{abi.arch}/kernel/Makefile.syscalls", "")
        named = re.findall(rf"^syscall_abis_{abi.bits}\s*\+?=(.*)$", makefile, re.M)
        if not named:
            return set()
        words = {"common", str(abi.bits)}
        for line in named:
            words.update(line.split("#")[0].split())
        return words

    def _renumbered(self, abi: Abi, found: list[Entry]) -> list[Entry]:
        """With the names the architecture's unistd.h puts in place of the table's (csky and
        hexagon: number 84 is sync_file_range2)."""
        header = self._texts.get(f"arch/{abi.arch}/include/uapi/asm/unistd.h", "")
        gone = set(re.findall(r"^#undef\s+__NR_(\w+)", header, re.M))
        named = {
            int(nr): name
            for name, nr in re.findall(r"^#define\s+__NR_(\w+)\s+(\d+)$", header, re.M)
        }
        return [
            Entry(one.nr, named[one.nr], f"sys_{named[one.nr]}", one.compat)
            if one.name in gone and one.nr in named
            else one
            for one in found
        ]

    def _from_headers(self, abi: Abi) -> list[Entry]:
        """Through the architecture's unistd.h, as the kernel's own build includes it."""
        start = self._texts.get(f"arch/{abi.arch}/include/uapi/asm/unistd.h")
        if start is None:
            return []

        def include(name: str) -> str | None:
            if name == "asm-generic/unistd.h":
                return self._texts.get(_GENERIC)
            if name.startswith("asm/unistd"):
                return self._texts.get(f"arch/{abi.arch}/include/uapi/{name}")
            return None

        if abi.name == "loongarch32":
            return []  # No such port before scripts/syscall.tbl.
        cpp = Preprocessor(include=include, fixed=frozenset(("__SYSCALL",)))
        cpp.define("__SYSCALL", "@@ x y", ("x", "y"))
        cpp.define("__BITS_PER_LONG", str(abi.bits))
        if abi.bits == 64:
            cpp.define("__LP64__")
        lines = list(cpp.run(start))
        names: dict[int, list[str]] = {}
        for macro, body in cpp.macros.items():
            if macro.startswith("__NR_") and body.params is None:
                number = cpp.value(body.body)
                if number is not None and re.search(r"\w", body.body):
                    names.setdefault(number, []).append(macro[len("__NR_") :])
        found: list[Entry] = []
        for line in lines:
            for parts in re.finditer(r"@@\s*(\S.*?)\s+(\w+)\s*$", cpp.expand(line)):
                number = cpp.value(parts[1])
                if number is None:
                    continue
                entry = parts[2]
                known = [n for n in names.get(number, []) if not n.startswith("3264_")]
                plain = entry.removeprefix("sys_")
                name = plain if plain in known or not known else known[0]
                found.append(Entry(number + abi.offset, name, entry, None))
        if not found:
            for number, known in names.items():
                name = known[0]
                if name[0].islower() and not name.endswith(("syscalls", "_specific_syscall")):
                    found.append(Entry(number, name, f"sys_{name}", None))
        return found

    def _arm_private(self) -> list[Entry]:
        """Arm's own calls above 0x0f0000 (cacheflush, set_tls), all through arm_syscall()."""
        text = self._texts.get("arch/arm/include/uapi/asm/unistd.h", "")
        pattern = r"^#define\s+__ARM_NR_(\w+)\s+\(__ARM_NR_BASE\+(\d+)\)"
        return [
            Entry(0x0F0000 + int(found[2]), found[1], "arm_syscall", None)
            for found in re.finditer(pattern, text, re.M)
        ]

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


def _rows(text: str, words: set[str], offset: int) -> Iterator[Entry]:
    """Rows of a .tbl file: number, ABI word, name, entry, compat entry ("-" for none)."""
    for line in text.splitlines():
        columns = line.split("#", 1)[0].split()
        if len(columns) < 3 or columns[1] not in words or not columns[0].isdigit():
            continue
        entry, compat = (
            columns[at] if len(columns) > at and columns[at] != "-" else None for at in (3, 4)
        )
        yield Entry(int(columns[0]) + offset, columns[2], entry, compat)


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
